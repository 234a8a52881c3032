//! The W3C trace context that a run hands to what it calls.
//!
//! Invariant: both ids follow from the run and its attempt alone, so that whoever exports spans later, be it from the
//! store's reports, names the same trace and the same spans as the endpoint saw.

use leasehold_common::id::CorrelationId;
use sha2::{Digest, Sha256};

/// A `traceparent` header value (W3C Trace Context, level 1): the trace is the run, over all its attempts, and the
/// span is the attempt.
///
/// The trace id is the correlation id. The span id is the first eight bytes of the SHA-256 hash of the correlation id's
/// sixteen bytes and the attempt as a big-endian number of four bytes.
pub(crate) fn traceparent(run: CorrelationId, attempt: u32) -> String {
    format!("00-{}-{:016x}-01", run.as_uuid().simple(), span(run, attempt))
}

fn span(run: CorrelationId, attempt: u32) -> u64 {
    let hash = Sha256::new().chain_update(run.as_uuid().as_bytes()).chain_update(attempt.to_be_bytes()).finalize();
    let span = hash.iter().take(8).fold(0, |span, byte| span << 8 | u64::from(*byte));
    span.max(1) // zero is not a valid span
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn the_trace_is_the_run_and_each_attempt_is_a_span_of_its_own() {
        let run =
            |tail: u128| CorrelationId::from_uuid(Uuid::from_u128(0x019a_0000_0000_8000_8000_0000_0000_0000 | tail));
        let first = traceparent(run(1), 1);
        assert_eq!(first, "00-019a0000000080008000000000000001-619f939b8229af57-01");
        assert_eq!(traceparent(run(1), 1), first, "whoever asks again gets the same");
        let second = traceparent(run(1), 2);
        assert_eq!((&second[..36], second.len()), (&first[..36], 55));
        assert_ne!(second, first);
        assert_ne!(traceparent(run(2), 1)[36..], first[36..]);
    }
}
