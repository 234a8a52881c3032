//! What a job needs beside room under its limits: an executor that can run it, and an endpoint that answers.
//!
//! Owns the names of both, which a plan turns into gates ([`crate::limit::gates`]) and executors and people see. Must not
//! know who executes what. Both are pure functions of the definition, so that whoever computes them agrees.

use url::Url;

use crate::definition::HandlerSpec;

/// What an executor must be able to do for a job with `command`.
pub const COMMAND: &str = "command";

/// What an executor must be able to do for a job that names this handler.
#[must_use]
pub fn handler(name: &str) -> String {
    format!("handler:{name}")
}

/// What an executor must be able to do for a job; `None` if every executor can.
#[must_use]
pub fn of(job: &HandlerSpec) -> Option<String> {
    match job {
        HandlerSpec::Http(_) | HandlerSpec::Sql { .. } => None,
        HandlerSpec::Command(_) => Some(COMMAND.to_owned()),
        HandlerSpec::Named { name } => Some(handler(name)),
    }
}

/// Host, in lower case as URLs are read, and port that a job with `http` calls. `None` for other jobs, and if the job wants
/// no breaker.
#[must_use]
pub fn endpoint(handler: &HandlerSpec) -> Option<String> {
    let HandlerSpec::Http(spec) = handler else { return None };
    // Templates stand behind the port only.
    let url = Url::parse(&spec.url).ok().filter(|_| spec.breaker)?;
    Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::HttpSpec;

    #[test]
    fn an_endpoint_is_a_host_and_a_port() {
        let of = |url: &str| endpoint(&HandlerSpec::Http(HttpSpec::new("POST", url)));
        assert_eq!(of("https://API.example/x").as_deref(), Some("api.example:443"));
        assert_eq!(of("http://[::1]:8080/x").as_deref(), Some("[::1]:8080"));
        assert_eq!(of("http://a.example/{{ tenant.id }}?run={{ run.attempt }}").as_deref(), Some("a.example:80"));
        assert_eq!(of("not a url"), None);
        let spec = HttpSpec { breaker: false, ..HttpSpec::new("GET", "http://h/") };
        assert_eq!(endpoint(&HandlerSpec::Http(spec)), None, "it wants none");
    }
}
