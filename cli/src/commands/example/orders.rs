//! The order service of the quickstart: `POST /sync/{tenant}` reads the tenant's order file, answers its totals, and
//! remembers them; `GET /synced` tells what it remembers.
//!
//! A tenant's name must follow the rule for names, so no name leads out of the data folder.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use clap::Args;
use leasehold_common::id::TenantId;
use leasehold_ops::args::listen_address;
use leasehold_ops::shutdown;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;

/// A small order service: totals the order file of a tenant on request.
#[derive(Args, Debug)]
pub(crate) struct OrdersArgs {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:9000", value_name = "ADDR:PORT", value_parser = listen_address)]
    listen: SocketAddr,

    /// The folder with one TENANT.csv each
    #[arg(long, default_value = "orders", value_name = "DIR")]
    data: PathBuf,

    /// Stop when standard input ends; `leasehold dev` keeps it open for its services as long as it lives
    #[arg(long)]
    until_eof: bool,
}

/// What an order file comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Totals {
    orders: u64,
    quantity: u64,
    total_cents: u64,
}

/// What is remembered of a tenant.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Synced {
    #[serde(flatten)]
    totals: Totals,
    /// How often it was synced.
    times: u64,
}

#[derive(Clone)]
struct Service {
    data: Arc<PathBuf>,
    synced: Arc<Mutex<BTreeMap<TenantId, Synced>>>,
}

/// Serves until SIGTERM, SIGINT or, if asked for, the end of standard input.
pub(crate) async fn run(args: OrdersArgs) -> Result<(), Failure> {
    let refused = |error: io::Error| Failure::Refused(format!("cannot listen on {}: {error}", args.listen));
    let stop = shutdown::on_signal();
    if args.until_eof {
        stop_at_eof(stop.clone());
    }
    let listener = TcpListener::bind(args.listen).await.map_err(refused)?;
    leasehold_ops::say!("serving {}/*.csv on http://{}", args.data.display(), listener.local_addr().map_err(refused)?);
    axum::serve(listener, router(args.data)).with_graceful_shutdown(stop.cancelled_owned()).await.map_err(refused)
}

fn router(data: PathBuf) -> Router {
    let service = Service { data: Arc::new(data), synced: Arc::default() };
    Router::new().route("/sync/{tenant}", post(sync)).route("/synced", get(synced)).with_state(service)
}

/// A thread of its own: reading standard input cannot be cancelled, and must not delay the end.
fn stop_at_eof(stop: CancellationToken) {
    std::thread::spawn(move || {
        // An input that cannot be read is at its end as well.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        stop.cancel();
    });
}

async fn sync(State(service): State<Service>, Path(tenant): Path<String>) -> Response {
    let tenant = match TenantId::new(&tenant) {
        Ok(tenant) => tenant,
        Err(error) => return (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    };
    let text = match tokio::fs::read_to_string(service.data.join(format!("{tenant}.csv"))).await {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return (StatusCode::NOT_FOUND, format!("there are no orders of {tenant}")).into_response();
        }
        Err(error) => return (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    };
    match total(&text) {
        Ok(totals) => {
            service.remember(tenant, totals);
            Json(totals).into_response()
        }
        Err(error) => (StatusCode::UNPROCESSABLE_ENTITY, format!("{tenant}.csv: {error}")).into_response(),
    }
}

async fn synced(State(service): State<Service>) -> Json<BTreeMap<TenantId, Synced>> {
    Json(service.synced.lock().unwrap_or_else(PoisonError::into_inner).clone())
}

impl Service {
    fn remember(&self, tenant: TenantId, totals: Totals) {
        let mut synced = self.synced.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = synced.entry(tenant).or_default();
        *entry = Synced { totals, times: entry.times + 1 };
    }
}

/// The columns of an order file.
const HEADER: &str = "order_id,date,sku,quantity,unit_price_cents";

/// Totals a file; the error names the line.
fn total(text: &str) -> Result<Totals, String> {
    let mut lines = text.lines();
    if lines.next() != Some(HEADER) {
        return Err(format!("line 1 must be {HEADER}"));
    }
    let mut totals = Totals::default();
    for (at, line) in lines.enumerate() {
        let (quantity, cents) = order(line).ok_or_else(|| format!("line {}: {line:?} is not an order", at + 2))?;
        totals.orders += 1;
        totals.quantity += u64::from(quantity);
        totals.total_cents += u64::from(quantity) * u64::from(cents);
    }
    Ok(totals)
}

fn order(line: &str) -> Option<(u32, u32)> {
    let mut columns = line.split(',').skip(3);
    let order = (columns.next()?.parse().ok()?, columns.next()?.parse().ok()?);
    columns.next().is_none().then_some(order)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn file(lines: &[&str]) -> String {
        format!("{HEADER}\n{}\n", lines.join("\n"))
    }

    #[test]
    fn totals_are_quantity_times_price() {
        let text = file(&["A-1,2026-11-01,TEA,3,250", "A-2,2026-11-02,CUP,1,1999"]);
        assert_eq!(total(&text).unwrap(), Totals { orders: 2, quantity: 4, total_cents: 2749 });
        assert_eq!(total(&format!("{HEADER}\n")).unwrap(), Totals::default());
    }

    #[test]
    fn what_is_no_order_is_named_by_its_line() {
        for bad in ["", "A-1", "A-1,d,s,1", "A-1,d,s,-1,5", "A-1,d,s,1,5,6", "A-1,d,s,1,5.0"] {
            let error = total(&file(&["A-1,2026-11-01,TEA,3,250", bad, "x"])).unwrap_err();
            assert!(error.starts_with("line 3:"), "{bad:?}: {error}");
        }
        assert!(total("order_id\n").is_err());
    }
}
