//! What may stand beside `argv`.

use jiff::Timestamp;
use leasehold_common::command::{CommandSpec, ExitCodes, Resources};
use leasehold_common::definition::HandlerSpec;

use crate::{assert_snapshot, good, said_of_texts, with_jobs};

fn job(command: &str) -> String {
    with_jobs(&format!("  - name: a\n    every: 5s\n    command: {{argv: [./a], {command}}}\n"))
}

fn spec(command: &str) -> CommandSpec {
    let config = good(&job(command));
    match &config.desired(Timestamp::UNIX_EPOCH, &[]).jobs[0].definition.handler {
        HandlerSpec::Command(spec) => spec.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn everything_beside_argv_is_read() {
    let text = "cwd: \"of/{{ tenant.id }}\", env: {REPORT_DIR: \"/srv/{{ tenant.id }}\", _x1: \"\"}, \
                permanent_exit_codes: [2, \"3\", 64-78, 255], \
                resources: {cpu: 90s, memory: 512MiB, files: 256, processes: 64, file_size: 100MB}";
    let codes = |first, last| ExitCodes { first, last };
    assert_eq!(
        spec(text),
        CommandSpec {
            argv: vec!["./a".to_owned()],
            env: [("REPORT_DIR", "/srv/{{ tenant.id }}"), ("_x1", "")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            cwd: Some("of/{{ tenant.id }}".to_owned()),
            resources: Resources {
                cpu: Some(90),
                memory: Some(512 << 20),
                files: Some(256),
                processes: Some(64),
                file_size: Some(100_000_000),
            },
            permanent_exit_codes: vec![codes(2, 2), codes(3, 3), codes(64, 78), codes(255, 255)],
        }
    );
    assert_eq!(spec("resources: {}, env: {}"), CommandSpec::new(["./a"]));
    assert_eq!(spec("resources: {cpu: 1500ms}").resources.cpu, Some(2), "the kernel counts in seconds");
}

#[test]
fn what_is_wrong_beside_argv() {
    let cases = [
        "dir: x",
        "cwd: \"\"",
        "cwd: [a]",
        "cwd: \"{{ tenant.folder }}\"",
        "env: [A], cwd: \"{{ tenant.labels.folder }}\"",
        "env: {FOLDER: \"{{ tenant.labels.folder }}\"}, cwd: \"{{ tenant.labels.folder }}\"",
        "env: {\"A B\": x, 1A: y, \"\": z, LEASEHOLD_TENANT: b, TRACEPARENT: c, PORT: 80, D: \"a\\0b\"}",
        "resources: 5",
        "resources: {ram: 5, cpu: 5, memory: 512, files: 2, processes: many, file_size: 1.5GiB}",
        "resources: {cpu: 500ms, memory: 1MiB, files: {}, processes: 0, file_size: 0B}",
        "permanent_exit_codes: 2",
        "permanent_exit_codes: [0, 256, 75, 8-7, -1, a, [2], 75-75]",
    ];
    assert_snapshot!(said_of_texts(&cases.map(|rest| (rest, job(rest)))));
}
