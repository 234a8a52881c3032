//! What this platform does for its tenants: it bills them and reminds them.

use std::time::Duration;

use leasehold_executor::{CancellationToken, CorrelationId, FromRun, HandlerError, Payload, RunContext, State, Tenant};
use serde::{Deserialize, Serialize};

/// The payload of `invoice`.
#[derive(Deserialize)]
pub(crate) struct Price {
    cents_per_seat: u64,
    /// From so many seats on, a tenth off.
    discount_from: u64,
}

/// What comes of `invoice`.
#[derive(Serialize)]
pub(crate) struct Invoice {
    tenant: String,
    number: CorrelationId,
    seats: u64,
    cents: u64,
}

/// Works out what a tenant owes. The number is the same over all attempts of a run: whoever books invoices can tell a
/// repeated one.
pub(crate) async fn invoice(
    tenant: Tenant,
    number: CorrelationId,
    Payload(price): Payload<Price>,
    Seats(seats): Seats,
) -> Result<Invoice, HandlerError> {
    let full = seats.saturating_mul(price.cents_per_seat);
    let cents = if seats >= price.discount_from { full - full / 10 } else { full };
    Ok(Invoice { tenant: tenant.id.to_string(), number, seats, cents })
}

/// An argument of this platform's own: how many seats the tenant pays for.
pub(crate) struct Seats(u64);

impl FromRun for Seats {
    async fn from_run(context: &RunContext) -> Result<Self, HandlerError> {
        let seats = context.tenant().labels.get("seats");
        // Another attempt would find the same tenant: do not try again.
        let seats = seats.ok_or_else(|| HandlerError::permanent("the tenant has no label `seats`"))?;
        // Any error converts, and is retried.
        Ok(Self(seats.parse()?))
    }
}

/// The payload of `remind`, and what comes of it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Letters {
    letters: u32,
}

/// How letters are sent. The executor has one for all handlers.
#[derive(Clone)]
pub(crate) struct PostOffice {
    pub(crate) a_letter_takes: Duration,
}

/// Sends letters one by one, and stops between two of them when it is told to.
pub(crate) async fn remind(
    Payload(Letters { letters }): Payload<Letters>,
    State(post): State<PostOffice>,
    stop: CancellationToken,
) -> Result<Letters, HandlerError> {
    for sent in 0..letters {
        tokio::select! {
            () = stop.cancelled() => return Err(HandlerError::new(format!("stopped after {sent} letters"))),
            () = tokio::time::sleep(post.a_letter_takes) => {}
        }
    }
    Ok(Letters { letters })
}
