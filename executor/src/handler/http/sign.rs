//! Signatures by the rules of Standard Webhooks (standardwebhooks.com, version 1 with symmetric secrets).
//!
//! The id is the run's idempotency key, the same for all attempts; the timestamp is that of the request; what is signed
//! is `ID.TIMESTAMP.BODY`. Every secret signs, so that an endpoint that knows one of them, the old or the new, can check.
//!
//! Invariants: secrets are looked up for each attempt and never kept; no error and no debug output shows one. On failure
//! nothing is sent: a request without its signature would only be refused.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::prelude::{BASE64_STANDARD, Engine};
use hmac::{Hmac, KeyInit, Mac};
use leasehold_common::endpoint::SignSpec;
use leasehold_common::template::{Escape, Template};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use sha2::Sha256;

use crate::handler::{HandlerError, RunContext, secret};

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// What a secret begins with, so that people and scanners know it as one.
const PREFIX: &str = "whsec_";

/// The shortest key that the rules allow, in bytes.
const SHORTEST: usize = 24;

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
            keys.push(key(&text).map_err(|why| failed(why.to_owned()))?);
        }
        Ok(Signer { id: context.idempotency_key(), keys })
    }
}

/// The key that a secret stands for.
fn key(secret: &str) -> Result<Vec<u8>, &'static str> {
    let text = secret.trim();
    let bytes = BASE64_STANDARD
        .decode(text.strip_prefix(PREFIX).unwrap_or(text))
        .map_err(|_| "what is there is no secret: it is `whsec_` and at least 24 random bytes in base64")?;
    if bytes.len() < SHORTEST {
        return Err("the secret is too short: it has at least 24 random bytes");
    }
    Ok(bytes)
}

/// The keys of an attempt.
pub(super) struct Signer {
    id: String,
    keys: Vec<Vec<u8>>,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("id", &self.id).field("keys", &self.keys.len()).finish()
    }
}

impl Signer {
    /// Adds the headers for a body that is sent now.
    pub(super) fn sign(&self, body: &[u8], headers: &mut HeaderMap) -> Result<(), HandlerError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let signatures = self.signatures(now, body);
        for (name, value) in [(ID, self.id.clone()), (TIMESTAMP, now.to_string()), (SIGNATURE, signatures)] {
            headers.insert(name, HeaderValue::from_str(&value)?);
        }
        Ok(())
    }

    /// One for each secret, in their order.
    fn signatures(&self, timestamp: u64, body: &[u8]) -> String {
        let head = format!("{}.{timestamp}.", self.id);
        let sign = |key: &Vec<u8>| {
            // HMAC takes keys of any length.
            let mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
            let bytes = mac.chain_update(&head).chain_update(body).finalize().into_bytes();
            Some(format!("v1,{}", BASE64_STANDARD.encode(bytes)))
        };
        self.keys.iter().filter_map(sign).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::handler::context::tests::context;

    /// The example of the reference libraries.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn signer(secrets: &[&str]) -> Signer {
        let keys = secrets.iter().map(|secret| key(secret).unwrap()).collect();
        Signer { id: "msg_p5jXN8AQM9LWM0D4loKWxJek".to_owned(), keys }
    }

    #[test]
    fn a_signature_is_the_one_that_the_reference_libraries_expect() {
        let body = br#"{"test": 2432232314}"#;
        let known = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(signer(&[SECRET]).signatures(1_614_265_330, body), known);
        assert_eq!(signer(&[&SECRET[6..]]).signatures(1_614_265_330, body), known, "without the prefix");
        assert_eq!(signer(&[&format!(" {SECRET}\n")]).signatures(1_614_265_330, body), known);
        for (timestamp, body) in [(1_614_265_331, &body[..]), (1_614_265_330, b"{}")] {
            assert_ne!(signer(&[SECRET]).signatures(timestamp, body), known);
        }
        let other = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
        let both = signer(&[other, SECRET]).signatures(1_614_265_330, body);
        let (first, second) = both.split_once(' ').unwrap();
        assert_eq!((first, second), (signer(&[other]).signatures(1_614_265_330, body).as_str(), known));
    }

    #[test]
    fn what_is_no_secret_is_refused_and_not_shown() {
        for text in [
            "",
            "whsec_",
            "hunter2",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa==",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS!",
            "whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        ] {
            assert!(key(text).is_err(), "{text}");
        }
        assert_eq!(format!("{:?}", signer(&[SECRET])), "Signer { id: \"msg_p5jXN8AQM9LWM0D4loKWxJek\", keys: 1 }");
    }

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
        assert_eq!((found.id, found.keys), (context().idempotency_key(), vec![key(SECRET).unwrap()]));
    }

    #[tokio::test]
    async fn no_value_of_a_tenant_leads_to_another_secret() {
        let reference = "file:/run/secrets/{{ tenant.labels.region }}".to_owned();
        let signature = Signature::compile(&SignSpec { secrets: vec![reference] }).unwrap();
        let error = signature.signer(&context()).await.unwrap_err();
        assert!(error.message.contains("the label `region` of tenant acme cannot be used here"), "{error}");
    }
}
