//! The signature of a request, by the rules of Standard Webhooks (`leasehold_ops::webhook`).
//!
//! The id is the run's idempotency key, the same for all attempts; the timestamp is that of the request.
//!
//! Invariants: secrets are looked up for each attempt and never kept; no error and no debug output shows one. On failure
//! nothing is sent: a request without its signature would only be refused.

use leasehold_common::endpoint::SignSpec;
use leasehold_common::template::{Escape, Template};
use leasehold_ops::webhook::{Key, Signer};

use crate::handler::{HandlerError, RunContext, secret};

/// Where the secrets of a job are.
#[derive(Debug)]
pub(super) struct Signature {
    secrets: Vec<Template>,
}

impl Signature {
    pub(super) fn compile(spec: &SignSpec) -> Result<Self, String> {
        let parse = |text: &String| Template::parse(text).map_err(|error| format!("secret {text:?}: {error}"));
        Ok(Self { secrets: spec.secrets.iter().map(parse).collect::<Result<_, _>>()? })
    }

    /// Looks all secrets up. One that is missing fails the attempt: another one may find it.
    pub(super) async fn signer(&self, context: &RunContext) -> Result<Signer, HandlerError> {
        let mut keys = Vec::with_capacity(self.secrets.len());
        for template in &self.secrets {
            let reference = template.render(&context.scope(), Escape::Name)?;
            let failed = |why: String| {
                HandlerError::new(format!("the request cannot be signed with {reference}: {why}")).code("secret")
            };
            let text = secret::resolve(&reference).await.map_err(failed)?;
            keys.push(Key::parse(&text).map_err(|why| failed(why.to_owned()))?);
        }
        Ok(Signer::new(context.idempotency_key(), keys))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::handler::context::tests::context;

    /// The example of the reference libraries.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[tokio::test]
    async fn secrets_are_looked_up_each_time_and_belong_to_the_tenant() {
        let folder = tempfile::tempdir().unwrap();
        let reference = format!("file:{}/{{{{ tenant.id }}}}", folder.path().display());
        let signature = Signature::compile(&SignSpec { secrets: vec![reference] }).unwrap();
        let missing = signature.signer(&context()).await.unwrap_err();
        assert!(
            missing.retry && missing.message.contains("/acme: ") && missing.message.contains("cannot read"),
            "{missing}"
        );
        std::fs::write(folder.path().join("acme"), "not a secret").unwrap();
        let wrong = signature.signer(&context()).await.unwrap_err();
        assert!(wrong.retry && wrong.message.contains("whsec_") && !wrong.message.contains("not a secret"), "{wrong}");
        std::fs::write(folder.path().join("acme"), format!("{SECRET}\n")).unwrap();
        let found = signature.signer(&context()).await.unwrap();
        let [(name, id), ..] = found.headers(b"{}");
        assert_eq!((name, id), ("webhook-id", context().idempotency_key()));
        assert_eq!(format!("{found:?}").matches("Key").count(), 1);
    }

    #[tokio::test]
    async fn no_value_of_a_tenant_leads_to_another_secret() {
        let reference = "file:/run/secrets/{{ tenant.labels.region }}".to_owned();
        let signature = Signature::compile(&SignSpec { secrets: vec![reference] }).unwrap();
        let error = signature.signer(&context()).await.unwrap_err();
        assert!(error.message.contains("the label `region` of tenant acme cannot be used here"), "{error}");
    }
}
