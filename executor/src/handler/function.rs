//! Handlers: async functions whose arguments say what they need.

use serde::Serialize;
use serde_json::Value;

use super::extract::{FromRun, Wants};
use super::{HandlerError, RunContext};

/// Code that a job with `handler: NAME` runs.
///
/// Implemented by async functions and closures of up to eight arguments that are each [`FromRun`], with an answer that can
/// be serialised, or an error that converts into [`HandlerError`]:
///
/// ```
/// use leasehold_executor::{Attempt, Handler, HandlerError, Payload, RunContext, Tenant};
/// use serde::{Deserialize, Serialize};
/// use serde_json::{Value, json};
///
/// #[derive(Deserialize)]
/// struct Greeting {
///     words: String,
/// }
///
/// #[derive(Serialize)]
/// struct Greeted {
///     length: usize,
/// }
///
/// async fn greet(tenant: Tenant, Payload(input): Payload<Greeting>) -> Result<Greeted, HandlerError> {
///     Ok(Greeted { length: format!("{}, {}", input.words, tenant.id).len() })
/// }
///
/// // An error type of one's own: any `std::error::Error` converts.
/// async fn parse(Payload(text): Payload<String>, Attempt(attempt): Attempt) -> Result<(), std::num::ParseIntError> {
///     text.parse::<u64>().map(drop)
/// }
///
/// async fn by_context(ctx: RunContext) -> Result<Value, HandlerError> {
///     Ok(json!({ "hello": ctx.tenant().id }))
/// }
///
/// fn is_a_handler<M>(_: impl Handler<M>) {}
/// is_a_handler(greet);
/// is_a_handler(parse);
/// is_a_handler(by_context);
/// ```
///
/// `M` only tells functions of different arguments apart. A type of one's own implements `Handler<()>`.
///
/// A handler that blocks its thread cannot be stopped and keeps others from running: put such work on
/// [`spawn_blocking`](crate::spawn_blocking).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    note = "a handler is an `async fn` whose arguments are each `FromRun`, and which answers `Result<T, E>`, where `T` is \
            `Serialize` and `E` converts into `HandlerError`; a closure has to name the types of its arguments"
)]
pub trait Handler<M>: Send + Sync + 'static {
    /// Runs once. Should end soon after [`RunContext::cancelled`]; if it does not, it is dropped.
    fn run(&self, context: RunContext) -> impl Future<Output = Result<Value, HandlerError>> + Send;

    /// What it needs, beyond what every run has: looked at when its executor starts.
    fn wants(&self, _wants: &mut Wants) {}
}

macro_rules! functions {
    ($($argument:ident)*) => {
        impl<F, Fut, T, E, $($argument,)*> Handler<fn($($argument),*)> for F
        where
            F: Fn($($argument),*) -> Fut + Send + Sync + 'static,
            Fut: Future<Output = Result<T, E>> + Send,
            T: Serialize,
            E: Into<HandlerError>,
            $($argument: FromRun,)*
        {
            #[allow(non_snake_case, unused_variables, reason = "an argument is called like its type; there may be none")]
            async fn run(&self, context: RunContext) -> Result<Value, HandlerError> {
                $(let $argument = $argument::from_run(&context).await?;)*
                let answer = self($($argument),*).await.map_err(Into::into)?;
                serde_json::to_value(answer)
                    .map_err(|error| HandlerError::permanent(format!("the result is no JSON: {error}")))
            }

            #[allow(unused_variables, reason = "there may be no argument")]
            fn wants(&self, wants: &mut Wants) {
                $($argument::wants(wants);)*
            }
        }
    };
}

functions!();
functions!(A1);
functions!(A1 A2);
functions!(A1 A2 A3);
functions!(A1 A2 A3 A4);
functions!(A1 A2 A3 A4 A5);
functions!(A1 A2 A3 A4 A5 A6);
functions!(A1 A2 A3 A4 A5 A6 A7);
functions!(A1 A2 A3 A4 A5 A6 A7 A8);

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::sync::Arc;

    use leasehold_common::definition::Tenant;
    use serde_json::json;

    use super::super::context::tests::context;
    use super::super::{Attempt, Payload, State};
    use super::*;

    async fn call<M>(handler: impl Handler<M>, context: RunContext) -> Result<Value, HandlerError> {
        handler.run(context).await
    }

    #[tokio::test]
    async fn arguments_come_from_the_run_and_the_answer_is_serialised() {
        async fn handler(
            tenant: Tenant,
            Payload(limit): Payload<u32>,
            Attempt(attempt): Attempt,
            State(name): State<Arc<str>>,
        ) -> Result<(String, u32), std::fmt::Error> {
            Ok((format!("{}/{name}", tenant.id), limit + attempt))
        }
        let context = context().with_payload(Some(Arc::new(json!(3)))).with_state(Arc::<str>::from("x"));
        assert_eq!(call(handler, context.clone()).await.unwrap(), json!(["acme/x", 4]));
        let misfit = context.with_payload(Some(Arc::new(json!("many"))));
        assert!(!call(handler, misfit).await.unwrap_err().retry, "another attempt would get the same payload");
    }

    #[tokio::test]
    async fn no_answer_is_null_and_an_error_of_any_type_is_retried() {
        assert_eq!(call(async || Ok::<_, HandlerError>(()), context()).await.unwrap(), Value::Null);
        let error = call(async |_: RunContext| Err::<(), _>(std::fmt::Error), context()).await.unwrap_err();
        assert!(error.retry, "{error}");
    }

    #[tokio::test]
    async fn what_cannot_be_json_is_an_error_and_no_panic() {
        let answer = async || Ok::<_, HandlerError>(std::collections::HashMap::from([((1, 2), 3)]));
        assert!(call(answer, context()).await.unwrap_err().message.contains("is no JSON"));
    }
}
