//! The W3C trace context that a run hands to what it calls.

use leasehold_common::id::CorrelationId;

/// A `traceparent` header value (W3C Trace Context, level 1): the trace is the run, over all its attempts, and the
/// span is this call.
pub(crate) fn traceparent(run: CorrelationId) -> String {
    let span: u64 = rand::random_range(1..=u64::MAX); // zero is not a valid span
    format!("00-{}-{span:016x}-01", run.as_uuid().simple())
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn the_trace_is_the_run_and_each_call_is_a_span_of_its_own() {
        let run = CorrelationId::from_uuid(Uuid::from_u128(0x019a_0000_0000_8000_8000_0000_0000_0001));
        let (a, b) = (traceparent(run), traceparent(run));
        assert_eq!(a.len(), 55);
        assert_eq!(a[..36], b[..36]);
        assert_eq!(&a[..36], "00-019a0000000080008000000000000001-");
        assert_ne!(a, b);
        assert!(a.ends_with("-01"));
    }
}
