//! The `http` of a job: what it becomes, and what is said about its mistakes.

use jiff::Timestamp;
use leasehold_common::definition::{Definition, HandlerSpec};
use leasehold_common::endpoint::{HttpSpec, Meaning};

use crate::{assert_snapshot, check, good, said_of_texts, with_jobs};

fn with_http(lines: &str) -> String {
    with_jobs(&format!("  - name: sync\n    every: 30s\n    http:\n      url: http://h/\n      {lines}\n"))
}

/// The definitions of both tenants.
fn definitions(lines: &str) -> Vec<Definition> {
    let desired = good(&with_http(lines)).desired(Timestamp::UNIX_EPOCH, &[]);
    desired.jobs.iter().map(|job| (*job.definition).clone()).collect()
}

fn spec(lines: &str) -> HttpSpec {
    match definitions(lines).swap_remove(0).handler {
        HandlerSpec::Http(spec) => spec,
        other => panic!("{other:?}"),
    }
}

#[test]
fn everything_arrives() {
    let text = spec(
        "method: PUT\n      headers: {x-a: b}\n      body: '{\"tenant\": {{ tenant.id }}, \"limits\": {{ payload.limits.0 }}}'\n      \
         sign: {secrets: [\"env:HOOK_SECRET\", \"file:/run/hooks/{{ tenant.id }}/{{ job.name }}\"]}\n      \
         responses: {success: [200-299, 404], retry: [409, 5xx], fail: [410, \"501\"]}\n      redirects: 3\n      callback: {within: 10m}\n    \
         payload: {limits: [1, 2]}",
    );
    let json = serde_json::to_value(&text).unwrap();
    assert_eq!(
        json,
        serde_json::json!({
            "method": "PUT",
            "url": "http://h/",
            "headers": { "x-a": "b" },
            "body": {
                "text": "{\"tenant\": {{ tenant.id }}, \"limits\": {{ payload.limits.0 }}}",
                "content_type": "application/json",
            },
            "sign": { "secrets": ["env:HOOK_SECRET", "file:/run/hooks/{{ tenant.id }}/{{ job.name }}"] },
            "responses": { "success": ["200-299", "404"], "retry": ["409", "500-599"], "fail": ["410", "501"] },
            "redirects": 3,
            "callback": { "within": "10m", "total": "1d" },
        })
    );
    let callback = |lines: &str| spec(lines).callback.map(|it| (it.within.as_secs(), it.total.as_secs()));
    assert_eq!(callback("callback: 2d"), Some((172_800, 172_800)));
    assert_eq!(callback("callback: {within: 1h, total: 5h}"), Some((3_600, 18_000)));
    assert_eq!(text.responses.meaning(501), Meaning::Fail);
    assert_eq!(spec("redirects: 0"), HttpSpec::new("POST", "http://h/"));
    let plain = spec("body: \"{{ tenant.id }} {\"\n      content_type: text/plain; charset=utf-8").body.unwrap();
    assert_eq!((plain.text.as_str(), plain.content_type.as_str()), ("{{ tenant.id }} {", "text/plain; charset=utf-8"));
}

#[test]
fn a_definition_without_anything_new_is_stored_as_before() {
    let json = definitions("headers: {x-a: b}")[0].to_json();
    assert!(json.contains(r#""handler":{"http":{"method":"POST","url":"http://h/","headers":{"x-a":"b"}}}"#), "{json}");
}

#[test]
fn mistakes() {
    let cases: Vec<_> = [
        "methods: POST",
        "callback: {}",
        "callback: 31d",
        "callback: true",
        "callback: {within: 2h, total: 1h}",
        "callback: {within: 2h, most: 1h}",
        "body: [a]",
        "body: '{\"a\": {{ tenant.idd }}}'",
        "body: '{\"a\": {{ payload.limit }}}'",
        "body: '{\"a\": {{ payload.limits.3 }}, \"b\": {{ payload }}}'\n    payload: {limits: [1]}",
        "body: '{\"a\": {{ tenant.id }}'",
        "body: '{\"a\": {{ tenant.labels.region }}}'",
        "content_type: text/plain",
        "body: x\n      content_type: plain",
        "body: x\n      content_type: \"text/plain\\r\\nx: y\"",
        "body: x\n      headers: {Content-Type: text/plain}",
        "headers: {x-a: \"{{ payload.a }}\"}",
        "sign: env:HOOK_SECRET",
        "sign: {}",
        "sign: {secrets: []}",
        "sign: {secrets: [\"env:A\", \"env:B\", \"env:C\", \"env:D\", \"env:E\", \"env:F\"]}",
        "sign: {secrets: [whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw]}",
        "sign: {secrets: [\"env:HOOK SECRET\", \"file:\", \"{{ tenant.id }}\"]}",
        "sign: {secrets: [\"file:/run/{{ run.correlation_id }}\"]}",
        "sign: {secrets: [\"file:/run/{{ tenant.labels.region }}\"]}",
        "responses: [404]",
        "responses: {success: 404, ok: [200]}",
        "responses: {success: [20, 2-99, 1xx, 600, [], null, 200-199]}",
        "responses: {success: [404, 400-450], retry: [4xx, 440-460], fail: [404]}",
        "redirects: 11",
        "redirects: yes",
    ]
    .into_iter()
    .map(|lines| (lines, with_http(lines)))
    .collect();
    assert_snapshot!(said_of_texts(&cases));
}

#[test]
fn a_value_that_is_no_name_cannot_lead_to_a_secret() {
    let text = with_http("sign: {secrets: [\"file:/run/{{ tenant.labels.region }}\"]}")
        .replace("region: us", "region: ../../etc")
        .replace("features: [billing]}", "features: [billing], labels: {region: eu}}");
    let checked = check(&text);
    assert_eq!(checked.diagnostics.len(), 1);
    assert_snapshot!(checked.diagnostics[0].to_string());
}
