#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::handler::context::tests::context;

const GRACE: Duration = Duration::from_millis(400);

fn templates(argv: &[&str]) -> Vec<Template> {
    argv.iter().map(|part| Template::parse(part).unwrap()).collect()
}

async fn run_in(workdir: &Path, argv: &[&str], context: RunContext) -> Result<Value, HandlerError> {
    CommandHandler::new(workdir, GRACE).call(&templates(argv), context).await
}

async fn sh(script: &str) -> Result<Value, HandlerError> {
    run_in(Path::new("/"), &["sh", "-c", script], context()).await
}

/// Whether a process lives (a zombie that nobody has waited for yet does not).
fn lives(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z')))
}

async fn until(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn the_output_is_the_result() {
    assert_eq!(sh("echo '{\"rows\": 3}'").await, Ok(json!({ "rows": 3 })));
    assert_eq!(sh("echo done").await, Ok(json!("done")));
    assert_eq!(sh("true").await, Ok(Value::Null));
}

#[tokio::test]
async fn an_exit_status_other_than_0_is_a_failure_with_the_end_of_the_error_output() {
    let error = sh("echo out; echo oops >&2; exit 3").await.unwrap_err();
    assert_eq!(error.message, "the program ended with exit status: 3: oops");
    let error = sh("echo out; exit 3").await.unwrap_err();
    assert_eq!(error.message, "the program ended with exit status: 3: out");
    let error = sh("kill -9 $$").await.unwrap_err();
    assert!(error.message.contains("signal: 9"), "{error}");
}

#[tokio::test]
async fn arguments_are_not_split_and_no_shell_reads_them() {
    let argv = ["printf", "%s|", "{{ tenant.labels.region }}", "$(id)", "a b", "; rm -rf /"];
    let said = run_in(Path::new("/"), &argv, context()).await;
    assert_eq!(said, Ok(json!("us/east 1|$(id)|a b|; rm -rf /|")));
}

#[tokio::test]
async fn the_environment_is_clean_and_says_whose_run_it_is() {
    let context = context().with_payload(Some(Arc::new(json!({ "limit": 3 }))));
    let Ok(Value::String(said)) = run_in(Path::new("/"), &["env"], context).await else { panic!("no text") };
    let mut names: Vec<&str> = said.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    names.retain(|name| !KEPT.contains(name));
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "LEASEHOLD_ATTEMPT",
            "LEASEHOLD_CORRELATION_ID",
            "LEASEHOLD_JOB",
            "LEASEHOLD_PAYLOAD",
            "LEASEHOLD_SCHEDULED_FOR",
            "LEASEHOLD_TENANT",
            "TRACEPARENT",
        ]
    );
    for line in [
        "LEASEHOLD_TENANT=acme",
        "LEASEHOLD_JOB=sync-orders",
        "LEASEHOLD_CORRELATION_ID=019aa3e1-c07b-8000-8bd5-c3a6a4f5a1b2",
        "LEASEHOLD_ATTEMPT=1",
        "LEASEHOLD_SCHEDULED_FOR=2026-11-21T02:00:00.123Z",
        "LEASEHOLD_PAYLOAD={\"limit\":3}",
    ] {
        assert!(said.lines().any(|found| found == line), "{line} in {said}");
    }
}

#[tokio::test]
async fn a_relative_program_is_found_in_the_working_directory_and_a_bare_one_only_in_path() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("report.sh");
    fs::write(&script, "#!/bin/sh\npwd\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let here = folder.path().canonicalize().unwrap();
    assert_eq!(run_in(folder.path(), &["./report.sh"], context()).await, Ok(json!(here)));
    let error = run_in(folder.path(), &["report.sh"], context()).await.unwrap_err();
    assert!(error.message.starts_with("cannot start report.sh: No such file"), "{error}");
}

#[tokio::test]
async fn fifty_megabytes_nul_bytes_and_broken_utf8_are_no_trouble() {
    let script = "head -c 50000000 /dev/zero; printf '\\377end'; head -c 50000000 /dev/zero >&2";
    let Ok(Value::String(text)) = sh(script).await else { panic!("no text") };
    assert!(text.len() < 20_000 && text.ends_with("\u{fffd}end") && !text.contains('\0'), "{}", text.len());
}

#[tokio::test]
async fn a_child_left_behind_neither_delays_the_run_nor_outlives_it() {
    let started = Instant::now();
    let Ok(Value::Number(pid)) = sh("sleep 300 & echo $!").await else { panic!("no pid") };
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    until("its end", || !lives(&pid.to_string())).await;
}

#[tokio::test]
async fn a_child_in_a_session_of_its_own_does_not_delay_the_run_either() {
    let started = Instant::now();
    let Ok(Value::Number(pid)) = sh("setsid sleep 300 & sleep 0.1; echo $!").await else { panic!("no pid") };
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    // It left the group, so ending it is up to whoever started it: this test.
    let pid = Pid::from_raw(i32::try_from(pid.as_i64().unwrap()).unwrap()).unwrap();
    let _ = rustix::process::kill_process(pid, Signal::KILL);
}

async fn stop_after_start(grace: Duration, script: &str) -> (Result<Value, HandlerError>, String) {
    let folder = tempfile::tempdir().unwrap();
    let pid_file = folder.path().join("pid");
    let (token, workdir) = (CancellationToken::new(), folder.path().to_owned());
    let context = context().with_cancellation(token.clone());
    let script = format!("{script}\nsleep 300 & echo $! > pid.new; mv pid.new pid; while :; do wait; done");
    let argv = templates(&["sh", "-c", &script]);
    let running = tokio::spawn(async move { CommandHandler::new(&workdir, grace).call(&argv, context).await });
    until("the start", || pid_file.exists()).await;
    token.cancel();
    (running.await.unwrap(), fs::read_to_string(pid_file).unwrap().trim().to_owned())
}

#[tokio::test]
async fn a_program_that_must_stop_gets_sigterm_and_its_group_with_it() {
    let (said, child) = stop_after_start(Duration::from_secs(20), "trap 'echo bye >&2; exit 0' TERM").await;
    assert_eq!(said.unwrap_err().message, "the program ended after SIGTERM: bye");
    until("the child's end", || !lives(&child)).await;
}

#[tokio::test]
async fn one_that_ignores_it_is_killed_after_the_grace() {
    let started = Instant::now();
    let (said, child) = stop_after_start(GRACE, "trap '' TERM; echo working >&2").await;
    assert!(started.elapsed() >= GRACE);
    let text = "the program was killed, since it did not end after SIGTERM: working";
    assert_eq!(said.unwrap_err().message, text);
    until("the child's end", || !lives(&child)).await;
}

#[tokio::test]
async fn a_run_that_is_dropped_takes_its_group_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let (pid_file, workdir) = (folder.path().join("pid"), folder.path().to_owned());
    let script = "trap '' TERM; sleep 300 & echo $! > pid.new; mv pid.new pid; wait";
    let running = tokio::spawn(async move { run_in(&workdir, &["sh", "-c", script], context()).await });
    until("the start", || pid_file.exists()).await;
    running.abort();
    let child = fs::read_to_string(pid_file).unwrap();
    until("the child's end", || !lives(child.trim())).await;
}

#[tokio::test]
async fn a_nul_in_an_argument_is_a_failure_and_no_truncation() {
    let error = run_in(Path::new("/"), &["echo", "a\0b"], context()).await.unwrap_err();
    assert!(error.message.starts_with("cannot start echo: "), "{error}");
}
