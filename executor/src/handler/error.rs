//! A handler could not do its work.

use std::error::Error;
use std::fmt;
use std::time::Duration;

/// Any error, as `tower` and `anyhow` pass them on.
pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// A handler could not do its work.
///
/// Any error converts into it by `?`, with its sources, and is retried by the job's rules:
///
/// ```
/// # use leasehold_executor::HandlerError;
/// fn parse(text: &str) -> Result<u32, HandlerError> {
///     Ok(text.parse()?)
/// }
/// assert!(parse("x").is_err_and(|error| error.retry));
/// ```
///
/// Like `anyhow::Error`, it does not implement [`std::error::Error`] itself: the conversion would be ambiguous. A boxed
/// error, or one of `anyhow`, is taken by [`HandlerError::from_boxed`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandlerError {
    /// What went wrong, for people. The end of a very long text is kept.
    pub message: String,
    /// Whether another attempt may help. If not, the run is dead at once, whatever attempts are left.
    pub retry: bool,
    /// How long the next attempt should wait at least, if what was called has said so. The job's own wait counts if it is
    /// longer, and no wait is longer than an hour for this reason.
    pub after: Option<Duration>,
    /// What kind of error it is, in a word for the job's rules (`retry_on`, `give_up_on`), for groups of dead letters and
    /// for scripts. docs/reference/handlers.md has those of Leasehold itself.
    pub code: Option<String>,
}

impl HandlerError {
    /// Another attempt may help, if the job has one left.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), retry: true, after: None, code: None }
    }

    /// No attempt can help.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self { message: message.into(), retry: false, after: None, code: None }
    }

    /// The same with a code, such as `order.unknown`. More than 64 characters are cut off.
    #[must_use]
    pub fn code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// The same for an error in a box, or of `anyhow`. One that was a `HandlerError` before comes out as it went in, so that
    /// layers of `tower` do not change whether a run is retried.
    pub fn from_boxed(error: impl Into<BoxError>) -> Self {
        match error.into().downcast::<Carried>() {
            Ok(carried) => carried.0,
            Err(error) => Self::new(chain(error.as_ref())),
        }
    }

    /// The same, and the next attempt should wait for so long.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.after = Some(wait);
        self
    }
}

impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.message)
    }
}

impl<E: Error> From<E> for HandlerError {
    fn from(error: E) -> Self {
        Self::new(chain(&error))
    }
}

/// A [`HandlerError`] within a box: what a layer passes on.
#[derive(Debug)]
struct Carried(HandlerError);

impl fmt::Display for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Carried {}

impl From<HandlerError> for BoxError {
    fn from(error: HandlerError) -> Self {
        Box::new(Carried(error))
    }
}

/// An error with its sources: `a: b: c`. A source that its parent's text names already is left out.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let part = error.to_string();
        if !text.contains(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot sync")]
    struct Outer(#[source] std::fmt::Error);

    #[test]
    fn any_error_becomes_a_retried_failure_with_its_sources() {
        let error = HandlerError::from(Outer(std::fmt::Error));
        assert!(error.retry);
        assert!(error.message.starts_with("cannot sync: an error occurred"), "{error}");
        assert!(!HandlerError::permanent("no such order").retry);
    }

    #[test]
    fn what_goes_into_a_box_comes_out_as_it_was() {
        let error = HandlerError::permanent("no such order").retry_after(Duration::from_secs(3));
        assert_eq!(HandlerError::from_boxed(BoxError::from(error.clone())), error);
        let foreign = HandlerError::from_boxed(Outer(std::fmt::Error));
        assert!(foreign.retry && foreign.message.starts_with("cannot sync: "), "{foreign}");
    }
}
