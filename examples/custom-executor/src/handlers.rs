//! What this platform does for its tenants: it bills them and reminds them.

use std::time::Duration;

use leasehold_executor::{HandlerError, RunContext};
use serde::Deserialize;
use serde_json::{Value, json};

/// The payload of `invoice`.
#[derive(Deserialize)]
struct Price {
    cents_per_seat: u64,
    /// From so many seats on, a tenth off.
    discount_from: u64,
}

/// Works out what a tenant owes.
pub(crate) async fn invoice(ctx: RunContext) -> Result<Value, HandlerError> {
    let price: Price = ctx.payload_as()?;
    let seats = seats(&ctx)?;
    let full = seats.saturating_mul(price.cents_per_seat);
    let cents = if seats >= price.discount_from { full - full / 10 } else { full };
    // The same over all attempts of a run: whoever books invoices can tell a repeated one.
    Ok(json!({ "tenant": ctx.tenant().id, "number": ctx.idempotency_key(), "seats": seats, "cents": cents }))
}

fn seats(ctx: &RunContext) -> Result<u64, HandlerError> {
    let seats = ctx.tenant().labels.get("seats");
    // Another attempt would find the same tenant: do not try again.
    let seats = seats.ok_or_else(|| HandlerError::permanent("the tenant has no label `seats`"))?;
    // Any error converts, and is retried.
    Ok(seats.parse()?)
}

/// The payload of `remind`.
#[derive(Deserialize)]
struct Letters {
    letters: u32,
}

/// Sends letters one by one, and stops between two of them when it is told to.
pub(crate) async fn remind(ctx: RunContext) -> Result<Value, HandlerError> {
    let Letters { letters } = ctx.payload_as()?;
    for sent in 0..letters {
        tokio::select! {
            () = ctx.cancelled() => return Err(HandlerError::new(format!("stopped after {sent} letters"))),
            () = tokio::time::sleep(Duration::from_millis(2)) => {} // the post office is quick
        }
    }
    Ok(json!({ "letters": letters }))
}
