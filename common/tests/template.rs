//! Templates: what they render to, what they refuse, and what no value can do.

#![expect(clippy::unwrap_used, reason = "tests")]

use jiff::Timestamp;
use leasehold_common::definition::Tenant;
use leasehold_common::id::{CorrelationId, JobKey, JobName, RunKind, TenantId};
use leasehold_common::schedule::Zone;
use leasehold_common::template::{
    Escape, RenderError, RunScope, Scope, Template, TemplateError, VARIABLES, render_json,
};
use proptest::prelude::*;

fn tenant() -> Tenant {
    Tenant {
        plan: Some("enterprise".to_owned()),
        timezone: Some(Zone::parse("America/New_York").unwrap()),
        labels: [("region".to_owned(), "us".to_owned())].into(),
        ..Tenant::new(TenantId::new("acme").unwrap())
    }
}

fn bare() -> Tenant {
    Tenant::new(TenantId::new("globex").unwrap())
}

fn run() -> RunScope {
    let due: Timestamp = "2026-11-21T02:00:00Z".parse().unwrap();
    RunScope {
        correlation_id: CorrelationId::new(due, RunKind::SCHEDULED, JobKey::from_i64(7)),
        attempt: 2,
        scheduled_for: due,
    }
}

fn render(text: &str, tenant: &Tenant, run: Option<RunScope>, escape: Escape) -> Result<String, RenderError> {
    let job = JobName::new("sync").unwrap();
    Template::parse(text).unwrap().render(&Scope { tenant, job: &job, run }, escape)
}

#[test]
fn every_variable_has_its_value() {
    let text = "{{tenant.id}} {{ tenant.plan }} {{  tenant.timezone}} {{tenant.labels.region }} {{ job.name }} \
                {{ run.attempt }} {{ run.scheduled_for }}";
    assert_eq!(
        render(text, &tenant(), Some(run()), Escape::None).unwrap(),
        "acme enterprise America/New_York us sync 2 2026-11-21T02:00:00Z"
    );
    let id = render("{{ run.correlation_id }}", &tenant(), Some(run()), Escape::None).unwrap();
    assert_eq!(id, run().correlation_id.to_string());
    for name in VARIABLES {
        assert!(Template::parse(&format!("{{{{ {name} }}}}")).is_ok(), "{name} is listed and must parse");
    }
}

#[test]
fn texts_in_json_are_templates_and_stay_texts() {
    let (tenant, job) = (tenant(), JobName::new("sync").unwrap());
    let scope = Scope { tenant: &tenant, job: &job, run: Some(run()) };
    let value = serde_json::json!({
        "{{ tenant.id }}": "{{ tenant.id }}", "deep": [{"n": 1, "t": "{{ run.attempt }}"}, null, true],
        "literal": "{{{{ tenant.id }}", "none": "{{ tenant.id", "plain": "}}"
    });
    assert_eq!(
        render_json(&value, &scope).unwrap(),
        serde_json::json!({
            "{{ tenant.id }}": "acme", "deep": [{"n": 1, "t": "2"}, null, true],
            "literal": "{{ tenant.id }}", "none": "{{ tenant.id", "plain": "}}"
        })
    );
    let lacking = Scope { tenant: &bare(), ..scope };
    let error = render_json(&serde_json::json!(["{{ tenant.plan }}"]), &lacking).unwrap_err();
    assert_eq!(error.to_string(), "tenant globex has no plan");
}

#[test]
fn four_braces_are_two_literal_ones() {
    for (text, out) in [
        ("{{{{ tenant.id }}", "{{ tenant.id }}"),
        ("{{{{{{ tenant.id }}", "{{acme"),
        ("}} { } {", "}} { } {"),
        ("", ""),
        ("é{{ tenant.id }}é", "éacmeé"),
    ] {
        assert_eq!(render(text, &tenant(), None, Escape::None).unwrap(), out, "{text}");
    }
}

#[test]
fn errors_say_where_and_what_exists() {
    let error = Template::parse("/sync/{{ tenant.idd }}").unwrap_err();
    assert_eq!(
        error,
        TemplateError::Unknown { name: "tenant.idd".to_owned(), span: 9..19, suggestion: Some("tenant.id") }
    );
    assert!(error.help().starts_with("did you mean `tenant.id`? There are tenant.id, tenant.plan"));
    assert_eq!(Template::parse("é{{ tenant.id }").unwrap_err(), TemplateError::Unclosed { span: 2..4 });
    assert_eq!(Template::parse("a{{ }}").unwrap_err(), TemplateError::Empty { span: 1..6 });
    for (wrong, meant) in [
        ("tenant_id", Some("tenant.id")),
        ("correlation_id", Some("run.correlation_id")),
        ("tenant.label.x", Some("tenant.labels.NAME")),
        ("tenant.labels.", Some("tenant.labels.NAME")),
        ("Tenant.Plan", Some("tenant.plan")),
        ("tenant.id | upper", None),
        ("{ tenant.id", Some("tenant.id")),
        ("secrets.key", None),
    ] {
        let error = Template::parse(&format!("{{{{ {wrong} }}}}")).unwrap_err();
        let TemplateError::Unknown { suggestion, .. } = error else { panic!("{wrong}: {error}") };
        assert_eq!(suggestion, meant, "{wrong}");
    }
}

#[test]
fn a_value_that_a_tenant_lacks_is_named_with_the_tenant() {
    for (text, message) in [
        ("{{ tenant.plan }}", "tenant globex has no plan"),
        ("{{ tenant.timezone }}", "tenant globex has no timezone"),
        ("{{ tenant.labels.region }}", "tenant globex has no label `region`"),
    ] {
        assert_eq!(render(text, &bare(), None, Escape::None).unwrap_err().to_string(), message);
        assert!(Template::parse(text).unwrap().missing_for(&bare()).is_some());
        assert_eq!(Template::parse(text).unwrap().missing_for(&tenant()), None);
    }
}

#[test]
fn values_of_a_run_need_one_and_a_check_does_not() {
    let error = render("{{ run.attempt }}", &tenant(), None, Escape::None).unwrap_err();
    assert_eq!(error.to_string(), "`run.attempt` is known only while a run is carried out");
    let template = Template::parse("{{ run.attempt }}{{ tenant.plan }}").unwrap();
    let job = JobName::new("sync").unwrap();
    assert_eq!(template.check(&tenant(), &job, Escape::Url), Ok(()));
    assert!(matches!(template.check(&bare(), &job, Escape::Url), Err(RenderError::Missing { .. })));
}

#[test]
fn a_value_is_never_read_as_a_template() {
    let mut tenant = tenant();
    tenant.labels.insert("region".to_owned(), "{{ tenant.id }}".to_owned());
    assert_eq!(render("{{ tenant.labels.region }}", &tenant, None, Escape::None).unwrap(), "{{ tenant.id }}");
}

#[test]
fn in_a_url_a_value_stays_within_its_segment() {
    let url = |value: &str| {
        let mut tenant = tenant();
        tenant.labels.insert("x".to_owned(), value.to_owned());
        render("http://h/a/{{ tenant.labels.x }}/z?q={{ tenant.labels.x }}", &tenant, None, Escape::Url)
    };
    assert_eq!(url("a/b?c#d&e=%2F é").unwrap(), {
        let encoded = "a%2Fb%3Fc%23d%26e%3D%252F%20%C3%A9";
        format!("http://h/a/{encoded}/z?q={encoded}")
    });
    assert_eq!(url("A-z_0.9~").unwrap(), "http://h/a/A-z_0.9~/z?q=A-z_0.9~");
    for value in [".", ".."] {
        assert!(matches!(url(value), Err(RenderError::DotSegment { .. })), "{value}");
    }
    // An encoded one is only text: its percent sign is encoded in turn.
    assert_eq!(url("%2e%2e").unwrap(), "http://h/a/%252e%252e/z?q=%252e%252e");
}

proptest! {
    #[test]
    fn no_text_panics_and_what_parses_shows_its_text(text in "[{} a-z.é]{0,40}") {
        if let Ok(template) = Template::parse(&text) {
            prop_assert_eq!(template.to_string(), text);
        }
    }

    #[test]
    fn spans_of_errors_lie_on_character_boundaries(text in ".{0,10}\\{\\{.{0,20}") {
        if let Err(error) = Template::parse(&text) {
            prop_assert!(text.get(error.span()).is_some());
        }
    }

    #[test]
    fn no_value_changes_the_shape_of_a_url(value in any::<String>()) {
        let mut tenant = tenant();
        tenant.labels.insert("x".to_owned(), value.clone());
        if let Ok(url) = render("http://h/a/{{ tenant.labels.x }}", &tenant, None, Escape::Url) {
            let tail = url.strip_prefix("http://h/a/").unwrap();
            prop_assert!(tail.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%".contains(&b)));
            let back = percent_encoding::percent_decode_str(tail).decode_utf8().unwrap();
            prop_assert_eq!(back.as_ref(), value.as_str());
        }
    }
}

#[test]
fn a_name_is_written_as_it_is_and_nothing_else_is_written_in_its_place() {
    let text = "file:/run/{{ tenant.id }}/{{ tenant.labels.region }}";
    assert_eq!(render(text, &tenant(), None, Escape::Name).as_deref(), Ok("file:/run/acme/us"));
    for region in ["..", "a/b", "", "/etc", "-x", "a b", "a\0", "\u{2024}\u{2024}", &"a".repeat(65)] {
        let tenant = Tenant { labels: [("region".to_owned(), region.to_owned())].into(), ..tenant() };
        let error = render(text, &tenant, None, Escape::Name).unwrap_err();
        assert!(matches!(error, RenderError::NotAName { .. }), "{region:?}: {error}");
        assert!(error.to_string().starts_with("the label `region` of tenant acme cannot be used here: "), "{error}");
    }
}
