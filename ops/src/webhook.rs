//! Signatures by the rules of Standard Webhooks (standardwebhooks.com, version 1 with symmetric secrets).
//!
//! What is signed is `ID.TIMESTAMP.BODY`. Every secret signs, so that an endpoint that knows one of them, the old or the
//! new, can check.
//!
//! Invariant: no error and no debug output shows a secret.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::prelude::{BASE64_STANDARD, Engine};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// What a secret begins with, so that people and scanners know it as one.
const PREFIX: &str = "whsec_";

/// The shortest key that the rules allow, in bytes.
const SHORTEST: usize = 24;

/// What a secret stands for.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Vec<u8>);

impl Key {
    /// Reads a secret.
    ///
    /// # Errors
    /// What is wrong with it, without showing it.
    pub fn parse(secret: &str) -> Result<Self, &'static str> {
        let text = secret.trim();
        let bytes = BASE64_STANDARD
            .decode(text.strip_prefix(PREFIX).unwrap_or(text))
            .map_err(|_| "what is there is no secret: it is `whsec_` and at least 24 random bytes in base64")?;
        if bytes.len() < SHORTEST {
            return Err("the secret is too short: it has at least 24 random bytes");
        }
        Ok(Self(bytes))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

/// What signs one message, however often it is sent.
#[derive(Debug)]
pub struct Signer {
    id: String,
    keys: Vec<Key>,
}

impl Signer {
    /// Of the message with this id.
    #[must_use]
    pub fn new(id: String, keys: Vec<Key>) -> Self {
        Self { id, keys }
    }

    /// The headers for a body that is sent now.
    #[must_use]
    pub fn headers(&self, body: &[u8]) -> [(&'static str, String); 3] {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        [
            ("webhook-id", self.id.clone()),
            ("webhook-timestamp", now.to_string()),
            ("webhook-signature", self.signatures(now, body)),
        ]
    }

    /// One for each secret, in their order.
    fn signatures(&self, timestamp: u64, body: &[u8]) -> String {
        let head = format!("{}.{timestamp}.", self.id);
        let sign = |key: &Key| {
            // HMAC takes keys of any length.
            let mac = Hmac::<Sha256>::new_from_slice(&key.0).ok()?;
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

    /// The example of the reference libraries.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn signer(secrets: &[&str]) -> Signer {
        let keys = secrets.iter().map(|secret| Key::parse(secret).unwrap()).collect();
        Signer::new("msg_p5jXN8AQM9LWM0D4loKWxJek".to_owned(), keys)
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
            assert!(Key::parse(text).is_err(), "{text}");
        }
        let shown = format!("{:?}", signer(&[SECRET]));
        assert_eq!(shown, "Signer { id: \"msg_p5jXN8AQM9LWM0D4loKWxJek\", keys: [Key] }");
    }
}
