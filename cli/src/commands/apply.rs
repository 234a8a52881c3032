//! `leasehold apply`: the catalog as a config file says.

use std::path::PathBuf;

use clap::Args;
use leasehold_common::config::Config;
use leasehold_common::store::Store;

use crate::apply::{self, Done, Permission};
use crate::cli::StoreUrl;
use crate::connect::with_store;
use crate::failure::Failure;
use crate::out;
use crate::render::plan;
use crate::render::style::Palette;

/// Make the store's catalog what a config file says.
///
/// The file is the whole catalog: tenants and jobs that it no longer names are removed, and their history is kept. The
/// plan is printed first. All of it takes effect at once, and applying the same file again does nothing.
#[derive(Args, Debug)]
pub(crate) struct ApplyArgs {
    /// The config file
    #[arg(value_name = "CONFIG")]
    file: PathBuf,

    /// Print the plan and write nothing
    #[arg(long)]
    dry_run: bool,

    /// Allow the removal of more than 30 % of the jobs
    #[arg(long)]
    allow_removal: bool,
}

/// Checks the file before the store is looked at.
pub(crate) async fn run(args: &ApplyArgs, url: &StoreUrl) -> Result<(), Failure> {
    url.url()?;
    let config = apply::load(&args.file)?;
    with_store(url, |store| async move { write(&*store, &config, args).await }).await
}

async fn write(store: &dyn Store, config: &Config, args: &ApplyArgs) -> Result<(), Failure> {
    let permission = Permission { dry_run: args.dry_run, removal: args.allow_removal };
    let show = |changes: &_| out::print(&plan::plan(changes, Palette::stdout()));
    let text = match apply::apply(store, config, permission, show).await? {
        Done::Nothing => "nothing to do: the catalog is as the config says".to_owned(),
        Done::Planned => "dry run: nothing was written".to_owned(),
        Done::Revision(revision) => format!("applied: the catalog has revision {revision}"),
    };
    out::print(&format!("{text}\n"))
}
