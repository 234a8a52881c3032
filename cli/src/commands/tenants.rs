//! `leasehold tenants`: who the tenants are.

use clap::{Args, Subcommand};
use leasehold_common::catalog::Member;
use leasehold_common::id::TenantId;
use leasehold_common::store::Store;

use crate::cli::{Format, GlobalOutputArgs};
use crate::commands::jobs;
use crate::failure::Failure;
use crate::out;
use crate::render::style::{Palette, Tone};
use crate::render::table::{Cell, Column, table};
use crate::render::text::count;

/// So many tenants are fetched at once.
const PAGE: u32 = 1_000;

/// List tenants, or show one.
#[derive(Args, Debug)]
pub(crate) struct TenantsArgs {
    #[command(subcommand)]
    command: Option<TenantsCommand>,

    #[command(flatten)]
    output: GlobalOutputArgs,
}

#[derive(Debug, Subcommand)]
enum TenantsCommand {
    /// List all tenants; the same as no subcommand
    List,
    /// Show a tenant and its jobs
    Show {
        /// Its id
        #[arg(value_name = "TENANT")]
        id: TenantId,
    },
}

impl TenantsArgs {
    /// The tenant, if it is about one and no other.
    pub(crate) fn tenant(&self) -> Option<&TenantId> {
        match &self.command {
            Some(TenantsCommand::Show { id }) => Some(id),
            Some(TenantsCommand::List) | None => None,
        }
    }
}

/// Lists or shows.
pub(crate) async fn run(store: &dyn Store, args: TenantsArgs) -> Result<(), Failure> {
    match args.command.unwrap_or(TenantsCommand::List) {
        TenantsCommand::List => list(store, args.output.output).await,
        TenantsCommand::Show { id } => show(store, &id, args.output.output).await,
    }
}

async fn list(store: &dyn Store, format: Format) -> Result<(), Failure> {
    let tenants = all(store).await?;
    match format {
        Format::Json => out::print_json(&tenants),
        Format::Table if tenants.is_empty() => {
            leasehold_ops::say!("There are no tenants: `leasehold apply` writes them.");
            Ok(())
        }
        Format::Table => out::print(&rows(&tenants)),
    }
}

async fn all(store: &dyn Store) -> Result<Vec<Member>, Failure> {
    let mut tenants: Vec<Member> = Vec::new();
    loop {
        let page = store.tenants(tenants.last().map(|tenant| &tenant.id), PAGE).await?;
        let last = page.len() < PAGE as usize;
        tenants.extend(page);
        if last {
            return Ok(tenants);
        }
    }
}

fn rows(tenants: &[Member]) -> String {
    const COLUMNS: [Column; 6] = [
        Column::left("TENANT"),
        Column::left("SOURCE"),
        Column::left("PLAN"),
        Column::left("TIMEZONE"),
        Column::left("FEATURES"),
        Column::left("LABELS"),
    ];
    let rows: Vec<_> = tenants
        .iter()
        .map(|tenant| {
            vec![
                tenant.id.as_str().into(),
                if tenant.source.is_empty() { "file" } else { &tenant.source }.into(),
                tenant.plan.as_deref().unwrap_or("-").into(),
                tenant.timezone.as_ref().map_or("-", |zone| zone.name()).into(),
                tenant.features.iter().map(String::as_str).collect::<Vec<_>>().join(",").into(),
                Cell::toned(Tone::Dim, labels(tenant)),
            ]
        })
        .collect();
    table(&COLUMNS, &rows, Palette::stdout())
}

fn labels(tenant: &Member) -> String {
    tenant.labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
}

async fn show(store: &dyn Store, id: &TenantId, format: Format) -> Result<(), Failure> {
    let tenant = store.snapshot_of(std::slice::from_ref(id)).await?.tenants.into_iter().next();
    let Some(tenant) = tenant else { return Err(Failure::NotFound(format!("there is no tenant {id}"))) };
    if format == Format::Json {
        return out::print_json(&tenant);
    }
    let (jobs, more) = jobs::some(store, Some(id), None, jobs::DEFAULT_LIMIT).await?;
    let mut text = rows(std::slice::from_ref(&tenant));
    text.push_str(&format!("\n{}\n", count(jobs.len(), if more { "job, and more" } else { "job" })));
    if !jobs.is_empty() {
        text.push_str(&jobs::rows(&jobs));
    }
    out::print(&text)
}
