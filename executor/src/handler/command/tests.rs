#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use leasehold_common::command::{CommandSpec, ExitCodes, Resources};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::handler::context::tests::context;

const GRACE: Duration = Duration::from_millis(400);

fn spec(argv: &[&str]) -> CommandSpec {
    CommandSpec::new(argv.iter().copied())
}

fn script(text: &str) -> CommandSpec {
    spec(&["sh", "-c", text])
}

fn handler(workdir: &Path, grace: Duration) -> CommandHandler {
    let options = ExecutorOptions { workdir: workdir.to_owned(), stop_grace: grace, ..ExecutorOptions::default() };
    CommandHandler::new(&options)
}

async fn call(handler: &CommandHandler, spec: &CommandSpec, context: RunContext) -> Result<Value, HandlerError> {
    handler.call(&CommandCall::compile(spec).unwrap(), context).await
}

async fn run_in(workdir: &Path, argv: &[&str], context: RunContext) -> Result<Value, HandlerError> {
    call(&handler(workdir, GRACE), &spec(argv), context).await
}

async fn run(spec: CommandSpec) -> Result<Value, HandlerError> {
    call(&handler(Path::new("/"), GRACE), &spec, context()).await
}

async fn sh(text: &str) -> Result<Value, HandlerError> {
    run(script(text)).await
}

fn with_payload(payload: Value) -> RunContext {
    context().with_payload(Some(Arc::new(payload)))
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
    let Ok(Value::String(said)) = run_in(Path::new("/"), &["env"], with_payload(json!({ "limit": 3 }))).await else {
        panic!("no text")
    };
    let mut names: Vec<&str> = said.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    names.retain(|name| !["PATH", "HOME", "LANG", "TZ"].contains(name));
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "LEASEHOLD_ATTEMPT",
            "LEASEHOLD_CORRELATION_ID",
            "LEASEHOLD_JOB",
            "LEASEHOLD_MARK",
            "LEASEHOLD_PAYLOAD",
            "LEASEHOLD_SCHEDULED_FOR",
            "LEASEHOLD_TENANT",
            "TMPDIR",
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
    let script = "printf 'begin'; head -c 50000000 /dev/zero; printf '\\377end'; head -c 50000000 /dev/zero >&2";
    let Ok(Value::String(text)) = sh(script).await else { panic!("no text") };
    assert!(text.len() < 20_000 && !text.contains('\0'), "{}", text.len());
    assert!(text.starts_with("begin\u{fffd}") && text.ends_with("\u{fffd}end"), "{text:.20}");
}

/// A program that starts another one as `start` says, whose number it prints.
async fn pid_of_a_child(start: &str) -> String {
    match sh(start).await {
        Ok(Value::Number(pid)) => pid.to_string(),
        other => panic!("no pid: {other:?}"),
    }
}

#[tokio::test]
async fn a_child_left_behind_neither_delays_the_run_nor_outlives_it() {
    let started = Instant::now();
    let pid = pid_of_a_child("sleep 300 & echo $!").await;
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    until("its end", || !lives(&pid)).await;
}

#[tokio::test]
async fn nor_does_one_that_left_the_group_whether_it_keeps_the_output_open_or_not() {
    let started = Instant::now();
    // What `setsid` starts is in a session of its own once it says so itself.
    for output in ["", "> /dev/null 2>&1"] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let stray = format!("echo $$ > {0}.new; mv {0}.new {0}; exec sleep 300", file.display());
        let text = format!("setsid sh -c '{stray}' {output} & while ! cat {} 2> /dev/null; do :; done", file.display());
        let pid = pid_of_a_child(&text).await;
        until("its end", || !lives(&pid)).await;
    }
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
}

#[tokio::test]
async fn what_belongs_to_another_installation_is_left_alone() {
    let bystander = std::process::Command::new("sleep")
        .arg("300")
        .env("LEASEHOLD_CORRELATION_ID", context().correlation_id().to_string())
        .env("LEASEHOLD_ATTEMPT", "1")
        .env("LEASEHOLD_MARK", "0")
        .spawn();
    let mut bystander = bystander.unwrap();
    // Long enough that every process of the machine is looked at.
    assert_eq!(sh("sleep 1.1; echo done").await, Ok(json!("done")));
    assert_eq!(bystander.try_wait().unwrap(), None);
    bystander.kill().unwrap();
    bystander.wait().unwrap();
}

/// Runs a script that starts a child of its own and then waits, and stops it when both run.
async fn stop_after_start(grace: Duration, start: &str) -> (Result<Value, HandlerError>, String) {
    let folder = tempfile::tempdir().unwrap();
    let pid_file = folder.path().join("pid");
    let (token, workdir) = (CancellationToken::new(), folder.path().to_owned());
    let context = context().with_cancellation(token.clone());
    let spec = script(&format!("{start} & echo $! > pid.new; mv pid.new pid; while :; do wait; done"));
    let running = tokio::spawn(async move { call(&handler(&workdir, grace), &spec, context).await });
    until("the start", || pid_file.exists()).await;
    token.cancel();
    (running.await.unwrap(), fs::read_to_string(pid_file).unwrap().trim().to_owned())
}

#[tokio::test]
async fn a_program_that_must_stop_gets_sigterm_and_its_group_with_it() {
    let (said, child) = stop_after_start(Duration::from_secs(20), "trap 'echo bye >&2; exit 0' TERM; sleep 300").await;
    assert_eq!(said.unwrap_err().message, "the program ended after SIGTERM: bye");
    until("the child's end", || !lives(&child)).await;
}

#[tokio::test]
async fn what_it_has_started_may_take_the_same_grace() {
    let slow = "(trap 'sleep 1; echo saved >&2; exit' TERM; echo ready > ready; while :; do sleep 0.01; done)";
    let start = format!("trap 'exit 0' TERM; {slow} & until [ -e ready ]; do :; done; sleep 300");
    let (said, _) = stop_after_start(Duration::from_secs(20), &start).await;
    let said = said.unwrap_err().message;
    assert!(said.starts_with("the program ended after SIGTERM: ") && said.ends_with("saved"), "{said}");
}

#[tokio::test]
async fn and_is_killed_after_it_while_the_report_says_so() {
    let deaf = "(trap '' TERM; echo ready > ready; while :; do sleep 0.01; done)";
    let start = format!("trap 'exit 0' TERM; {deaf} & until [ -e ready ]; do :; done; sleep 300");
    let (said, _) = stop_after_start(GRACE, &start).await;
    let text = "the program ended after SIGTERM; what it had started did not and was killed";
    assert_eq!(said.unwrap_err().message, text);
}

#[tokio::test]
async fn one_that_ignores_it_is_killed_after_the_grace() {
    let started = Instant::now();
    let (said, child) = stop_after_start(GRACE, "trap '' TERM; echo working >&2; sleep 300").await;
    assert!(started.elapsed() >= GRACE);
    let text = "the program was killed, since it did not end after SIGTERM: working";
    assert_eq!(said.unwrap_err().message, text);
    until("the child's end", || !lives(&child)).await;
}

#[tokio::test]
async fn one_that_must_stop_before_it_has_begun_does_not_begin() {
    let folder = tempfile::tempdir().unwrap();
    let token = CancellationToken::new();
    token.cancel();
    let said = run_in(folder.path(), &["touch", "begun"], context().with_cancellation(token)).await;
    assert_eq!(said.unwrap_err().message, "the program had not been started");
    assert!(!folder.path().join("begun").exists());
}

#[tokio::test]
async fn a_run_that_is_dropped_takes_its_group_its_strays_and_its_folder_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let (pids, workdir) = (folder.path().join("pids"), folder.path().to_owned());
    let stray = "setsid sh -c 'echo $$ >> pids.new; mv pids.new pids; exec sleep 300' > /dev/null 2>&1 &";
    let text = format!("trap '' TERM; sleep 300 & echo $TMPDIR $! $$ > pids.new; {stray} wait");
    let running = tokio::spawn(async move { call(&handler(&workdir, GRACE), &script(&text), context()).await });
    until("the start", || pids.exists()).await;
    running.abort();
    let said = fs::read_to_string(&pids).unwrap();
    let (temporary, numbers) = said.split_once(' ').unwrap();
    for pid in numbers.split_whitespace() {
        until("the end of all three", || !lives(pid)).await;
    }
    assert_eq!(numbers.split_whitespace().count(), 3);
    until("the end of the folder", || !Path::new(temporary).exists()).await;
}

#[tokio::test]
async fn the_temporary_folder_is_private_and_gone_afterwards() {
    for exit in [0, 1] {
        let text = format!("cd \"$TMPDIR\"; mkdir -p a/b; chmod 500 a/b; touch c; stat -c %a .; pwd >&2; exit {exit}");
        let kept = format!("exec 2> \"$OUT/said\"; {text}");
        let out = tempfile::tempdir().unwrap();
        let env = [("OUT".to_owned(), out.path().display().to_string())].into();
        let said = run(CommandSpec { env, ..script(&kept) }).await;
        match exit {
            0 => assert_eq!(said, Ok(json!(700))),
            _ => assert!(said.is_err()),
        }
        let folder = fs::read_to_string(out.path().join("said")).unwrap();
        assert!(folder.contains("leasehold-run-") && !Path::new(folder.trim()).exists(), "{folder}");
    }
}

#[tokio::test]
async fn the_payload_is_its_input() {
    assert_eq!(run_in(Path::new("/"), &["cat"], with_payload(json!({ "limit": 3 }))).await, Ok(json!({ "limit": 3 })));
    assert_eq!(run_in(Path::new("/"), &["cat"], context()).await, Ok(Value::Null));
    let long = || with_payload(json!("x".repeat(1_000_000)));
    let count = ["sh", "-c", "printf '%s ' ${#LEASEHOLD_PAYLOAD}; wc -c"];
    assert_eq!(run_in(Path::new("/"), &count, long()).await, Ok(json!("0 1000003")));
    // Nobody has to read it.
    assert_eq!(run_in(Path::new("/"), &["true"], long()).await, Ok(Value::Null));
    assert_eq!(run_in(Path::new("/"), &["sh", "-c", "exec <&-; echo 1"], long()).await, Ok(json!(1)));
}

#[tokio::test]
async fn variables_of_the_job_are_templates() {
    let env = [("REGION", "{{ tenant.labels.region }}!"), ("LANG", "C"), ("EMPTY", "")];
    let env = env.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let said = run(CommandSpec { env, ..script("echo \"$REGION $LANG ${EMPTY-unset}\"") }).await;
    assert_eq!(said, Ok(json!("us/east 1! C")));
}

#[tokio::test]
async fn the_cwd_is_a_folder_below_the_working_directory() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().canonicalize().unwrap();
    fs::create_dir_all(here.join("of/acme")).unwrap();
    fs::write(here.join("file"), "").unwrap();
    let inner = here.join("of");
    let strict = handler(&inner, GRACE);
    let free = CommandHandler { any_cwd: true, ..handler(&inner, GRACE) };
    let pwd = async |handler: &CommandHandler, cwd: &str| {
        let spec = CommandSpec { cwd: Some(cwd.to_owned()), ..spec(&["pwd"]) };
        call(handler, &spec, context()).await.map_err(|error| error.message)
    };
    assert_eq!(pwd(&strict, "{{ tenant.id }}").await, Ok(json!(inner.join("acme"))));
    assert_eq!(pwd(&strict, "./acme/.").await, Ok(json!(inner.join("acme"))));
    let absolute = here.to_str().unwrap();
    for cwd in ["..", "acme/../..", "acme/..", absolute, "/"] {
        let refused = pwd(&strict, cwd).await.unwrap_err();
        assert!(refused.contains(&format!("{cwd:?}")) && refused.contains("--allow-any-cwd"), "{refused}");
    }
    assert_eq!(pwd(&free, "..").await, Ok(json!(here)));
    assert_eq!(pwd(&free, absolute).await, Ok(json!(here)));
    assert!(pwd(&strict, "nowhere").await.unwrap_err().contains("nowhere: No such file"));
    assert!(pwd(&free, "../file").await.unwrap_err().ends_with("file is not a folder"));
}

#[tokio::test]
async fn exit_statuses_that_the_job_names_are_permanent() {
    let exit = async |code: u8| {
        let permanent_exit_codes = vec![ExitCodes { first: 64, last: 78 }];
        run(CommandSpec { permanent_exit_codes, ..script(&format!("echo no >&2; exit {code}")) }).await.unwrap_err()
    };
    let error = exit(65).await;
    let text = "the program ended with exit status: 65, after which no other attempt is made: no";
    assert_eq!((error.message.as_str(), error.retry), (text, false));
    assert!(exit(1).await.retry);
    let again = exit(75).await;
    assert_eq!((again.message.as_str(), again.retry), ("the program ended with exit status: 75 (try again): no", true));
}

const MANY: Resources = Resources {
    cpu: Some(77),
    memory: Some(1 << 30),
    files: Some(99),
    processes: Some(8_000),
    file_size: Some(1 << 20),
};

#[tokio::test]
async fn the_kernel_holds_the_program_to_its_limits() {
    let said = run(CommandSpec { resources: MANY, ..spec(&["cat", "/proc/self/limits"]) }).await;
    let Ok(Value::String(said)) = said else { panic!("{said:?}") };
    for (limit, values) in [
        ("Max cpu time", "77 82"),
        ("Max address space", "1073741824 1073741824"),
        ("Max open files", "99 99"),
        ("Max processes", "8000 8000"),
        ("Max file size", "1048576 1048576"),
    ] {
        let line = said.lines().find_map(|line| line.strip_prefix(limit)).unwrap();
        let found: Vec<_> = line.split_whitespace().take(2).collect();
        assert_eq!(found.join(" "), values, "{limit}");
    }
    let none = run(spec(&["sh", "-c", "grep 'Max open files' /proc/self/limits"])).await;
    assert!(!none.unwrap().to_string().contains(" 99 "), "only those of the run");
}

#[tokio::test]
async fn the_limit_that_ended_it_is_said() {
    let cpu = Resources { cpu: Some(1), ..Resources::default() };
    let error = run(CommandSpec { resources: cpu, ..script("while :; do :; done") }).await.unwrap_err();
    assert!(error.message.contains("(SIGXCPU) (its CPU time of 1s is used up)") && error.retry, "{error}");
    let error = run(CommandSpec { resources: MANY, ..script("head -c 2000000 /dev/zero > \"$TMPDIR/big\"") }).await;
    let error = error.unwrap_err().message;
    assert!(error.contains("(as after SIGXFSZ: it wrote a file beyond 1MiB)"), "{error}");
}

#[tokio::test]
async fn a_limited_program_that_is_not_there_is_named_and_so_is_prlimit() {
    let error = run(CommandSpec { resources: MANY, ..spec(&["no-such-program"]) }).await.unwrap_err();
    assert!(error.message.starts_with("cannot start no-such-program: No such file"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let without = |name: &str| (name == "PATH").then(|| folder.path().into());
    let handler = CommandHandler { environment: Environment::of(without, &[]), ..handler(Path::new("/"), GRACE) };
    let spec = CommandSpec { resources: MANY, ..spec(&["/bin/true"]) };
    let error = call(&handler, &spec, context()).await.unwrap_err();
    assert!(error.message.contains("prlimit") && error.message.contains("install util-linux"), "{error}");
    assert_eq!(
        call(&handler, &CommandSpec { resources: Resources::default(), ..spec }, context()).await,
        Ok(Value::Null)
    );
}

#[tokio::test]
async fn a_nul_in_an_argument_is_a_failure_and_no_truncation() {
    let error = run_in(Path::new("/"), &["echo", "a\0b"], context()).await.unwrap_err();
    assert!(error.message.starts_with("cannot start echo: "), "{error}");
}
