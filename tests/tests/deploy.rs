//! What `deploy/` ships: the build script runs, and everything that cannot be run here passes the checker made for it
//! and names only flags, variables and files that exist.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::Duration;

use leasehold_common::duration;
use serde_json::Value;
use tempfile::TempDir;

const BINARIES: [&str; 3] = ["leasehold", "leasehold-scheduler", "leasehold-executor"];
const DOCKERFILES: [&str; 2] = ["deploy/docker/scheduler.Dockerfile", "deploy/docker/executor.Dockerfile"];
const UNITS: [&str; 2] = ["leasehold-scheduler", "leasehold-executor"];

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A checker, from the folder that tests/run installs into or from the PATH.
fn tool(name: &str) -> PathBuf {
    let mut folders: Vec<PathBuf> =
        std::env::var_os("LEASEHOLD_TOOLS").map(|at| Path::new(&at).join("bin")).into_iter().collect();
    folders.push(repository().join("target/tools/bin"));
    folders.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    folders
        .iter()
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
        .unwrap_or_else(|| panic!("{name} is not installed: `tests/run --prepare` installs it"))
}

fn run(command: &mut Command) -> Output {
    command.current_dir(repository()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// Runs a checker that says nothing when all is well.
fn silent(command: &mut Command) {
    let output = run(command);
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(output.status.success() && said.trim().is_empty(), "{command:?}: {}\n{said}", output.status);
}

fn stdout(command: &mut Command) -> String {
    let output = run(command);
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The folder that `deploy/build` filled, once for all tests. The cheap profile is the one that the tests' own
/// binaries were built with.
fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("deploy");
        let output = run(Command::new("deploy/build").args(["--profile", "dev", "--out"]).arg(&folder));
        assert!(output.status.success(), "deploy/build: {}", String::from_utf8_lossy(&output.stderr));
        folder
    })
}

fn help(binary: &str, subcommand: Option<&str>) -> String {
    stdout(Command::new(built().join(binary)).args(subcommand).arg("--help").env("COLUMNS", "200"))
}

/// Whether a help text explains a flag or a variable: the whole word, not the beginning of another one.
fn explains(help: &str, name: &str) -> bool {
    help.split(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_')).any(|word| word == name)
}

fn flag(argument: &str) -> Option<&str> {
    argument.starts_with("--").then(|| argument.split('=').next().unwrap_or(argument))
}

#[test]
fn the_build_script_makes_three_stripped_binaries() {
    for binary in BINARIES {
        let file = built().join(binary);
        let version = stdout(Command::new(&file).arg("--version"));
        assert_eq!(version.trim(), format!("{binary} {}", env!("CARGO_PKG_VERSION")));
        let sections = stdout(Command::new("objdump").arg("-h").arg(&file));
        assert!(sections.contains(".text") && !sections.contains(".debug_info"), "{binary} is not stripped");
    }
    assert_eq!(fs::read_dir(built()).unwrap().count(), BINARIES.len(), "nothing else is left in the folder");
}

#[test]
fn the_build_script_refuses_what_it_does_not_know() {
    for arguments in [&["--fast"][..], &["--out"], &["--profile", ""]] {
        let output = run(Command::new("deploy/build").args(arguments));
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("usage: deploy/build"));
    }
}

#[test]
fn hadolint_finds_nothing_in_the_container_files() {
    silent(Command::new(tool("hadolint")).args(DOCKERFILES));
}

/// One build for both images depends on it.
#[test]
fn the_container_files_share_their_build_stage() {
    let stages = DOCKERFILES.map(|path| {
        let text = read(path);
        let from = text.find("\nFROM rust:").unwrap();
        let to = text.find("\nFROM ${RUNTIME}").unwrap();
        text[from..to].to_owned()
    });
    assert_eq!(stages[0], stages[1]);
    assert!(stages[0].contains("deploy/build --out /out"));
}

#[test]
fn the_final_images_need_neither_root_nor_a_shell() {
    for path in DOCKERFILES {
        let text = read(path);
        let last = &text[text.find("\nFROM ${RUNTIME}").unwrap()..];
        let has = |what: &str| last.lines().any(|line| line.trim_start().starts_with(what));
        assert!(!has("RUN"), "{path}: RUN needs a shell");
        assert!(has("USER 65532:65532"), "{path}");
        assert!(has("ENTRYPOINT [") && has("CMD [\"/usr/local/bin/"), "{path}: exec form");
        assert!(last.contains("\", \"healthcheck\"]"), "{path}");
        for binary in BINARIES.iter().filter(|binary| last.contains(&format!("/out/{binary} "))) {
            assert!(explains(&help(binary, None), "healthcheck") || *binary == "leasehold", "{path}: {binary}");
        }
    }
}

/// A container has all its variables set when it is asked for its health.
#[test]
fn the_healthcheck_of_a_container_needs_no_flags() {
    let free = leasehold_tests::server::free_port();
    for binary in UNITS {
        let mut healthcheck = Command::new(built().join(binary));
        healthcheck.arg("healthcheck").env("LEASEHOLD_OPS_LISTEN", format!("0.0.0.0:{free}"));
        for (variable, value) in [("STORE", "postgres://nobody@nowhere/x"), ("LOG_FORMAT", "json"), ("SLOTS", "3")] {
            healthcheck.env(format!("LEASEHOLD_{variable}"), value);
        }
        let output = run(&mut healthcheck);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{binary}: {said}");
        assert!(said.contains(&format!("127.0.0.1:{free}/readyz")), "{binary}: {said}");
    }
}

#[test]
fn the_container_files_compile_with_a_compiler_that_is_new_enough() {
    let manifest = read("Cargo.toml");
    let least = manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap().trim_matches('"');
    let minor = |version: &str| version.split('.').nth(1).unwrap().parse::<u32>().unwrap();
    for path in DOCKERFILES {
        let text = read(path);
        let image = text.lines().find_map(|line| line.strip_prefix("FROM rust:")).unwrap();
        let version = image.split('-').next().unwrap();
        assert!(minor(version) >= minor(least), "{path}: rust {version} is older than {least}");
    }
}

/// What `.dockerignore` lets through is all that cargo needs to load the workspace, and all that the sources include.
#[test]
fn the_build_context_is_complete() {
    let ignore = read(".dockerignore");
    let let_through: Vec<&str> = ignore.lines().filter_map(|line| line.strip_prefix('!')).collect();
    let context = tempfile::tempdir().unwrap();
    for path in &let_through {
        let from = repository().join(path);
        assert!(from.exists(), ".dockerignore names {path}, which does not exist");
        let to = context.path().join(path);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        silent(Command::new("cp").arg("-r").arg(from).arg(to));
    }
    let manifest = context.path().join("Cargo.toml");
    let args = ["metadata", "--no-deps", "--locked", "--offline", "--format-version=1", "--manifest-path"];
    let metadata: Value = serde_json::from_str(&stdout(Command::new("cargo").args(args).arg(manifest))).unwrap();
    let binaries: Vec<&str> = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|package| package["targets"].as_array().unwrap())
        .filter(|target| target["kind"][0] == "bin")
        .map(|target| target["name"].as_str().unwrap())
        .collect();
    for binary in BINARIES {
        assert!(binaries.contains(&binary), "{binary} is not in the context");
    }
    for folder in ["migrations/postgres", "migrations/sqlite", "store/sql", "deploy/build"] {
        assert!(context.path().join(folder).exists(), "{folder} is not in the context");
    }
}

#[test]
fn yamllint_finds_nothing() {
    let files = ["deploy/compose.yaml", "deploy/leasehold.yaml"];
    silent(Command::new(tool("yamllint")).args(["--strict", "--config-file", "deploy/.yamllint"]).args(files));
}

#[test]
fn the_compose_file_fits_the_compose_schema() {
    let schema = ["--builtin-schema", "vendor.compose-spec", "--quiet"];
    silent(Command::new(tool("check-jsonschema")).args(schema).arg("deploy/compose.yaml"));
}

/// The compose file with its anchors and merge keys resolved.
fn compose() -> Value {
    // yamllint brings PyYAML, and a virtual environment its own interpreter.
    let beside = tool("yamllint").with_file_name("python3");
    let python = if beside.exists() { beside } else { tool("python3") };
    let script = "import json, sys, yaml; json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout)";
    serde_json::from_str(&stdout(Command::new(python).args(["-c", script, "deploy/compose.yaml"]))).unwrap()
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().map(|list| list.iter().map(|item| item.as_str().unwrap()).collect()).unwrap_or_default()
}

fn seconds(text: &Value) -> Duration {
    duration::parse(text.as_str().unwrap()).unwrap()
}

#[test]
fn the_compose_services_use_flags_and_variables_that_exist() {
    let compose = compose();
    for (name, service) in compose["services"].as_object().unwrap() {
        let Some(image) = service["image"].as_str().filter(|image| image.starts_with("leasehold-")) else { continue };
        let entrypoint = texts(&service["entrypoint"]);
        let binary = match entrypoint.first() {
            Some(path) => Path::new(path).file_name().unwrap().to_str().unwrap(),
            None => image,
        };
        let command = texts(&service["command"]);
        let subcommand = command.first().copied().filter(|word| !word.starts_with('-'));
        let own = help(binary, None);
        let of_subcommand = help(binary, subcommand);
        for argument in command.iter().filter_map(|argument| flag(argument)) {
            // `example` has a subcommand of its own.
            let nested =
                stdout(Command::new(built().join(binary)).args(&command[..2.min(command.len())]).arg("--help"));
            assert!([&own, &of_subcommand, &nested].iter().any(|help| explains(help, argument)), "{name}: {argument}");
        }
        for variable in service["environment"].as_object().into_iter().flatten().map(|(variable, _)| variable) {
            assert!(explains(&own, variable) || explains(&of_subcommand, variable), "{name}: {variable}");
        }
    }
}

#[test]
fn the_compose_file_starts_things_in_order_and_stops_them_gently() {
    let compose = compose();
    let services = &compose["services"];
    let waits = |service: &str, on: &str| services[service]["depends_on"][on]["condition"].as_str().unwrap().to_owned();
    assert_eq!(waits("migrate", "postgres"), "service_healthy");
    for service in ["apply", "scheduler", "executor"] {
        assert_eq!(waits(service, "migrate"), "service_completed_successfully");
    }
    assert_eq!(
        (&services["scheduler"]["deploy"]["replicas"], &services["executor"]["deploy"]["replicas"]),
        (&3.into(), &2.into())
    );
    assert!(services["postgres"]["healthcheck"]["test"].is_array());
    let executor = &services["executor"];
    let drain = seconds(&executor["environment"]["LEASEHOLD_DRAIN_TIMEOUT"]);
    assert!(seconds(&executor["stop_grace_period"]) > drain + Duration::from_secs(10));
    for service in ["scheduler", "executor"] {
        assert_eq!(services[service]["read_only"], true);
        assert_eq!(services[service]["restart"], "unless-stopped");
    }
}

#[test]
fn the_mounted_config_has_no_mistake_and_no_warning() {
    let output = run(Command::new(built().join("leasehold")).args(["check", "deploy/leasehold.yaml"]));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("warning"), "{said}");
    for (name, service) in compose()["services"].as_object().unwrap() {
        for volume in texts(&service["volumes"]) {
            let source = volume.split(':').next().unwrap();
            let exists = !source.starts_with('.') || repository().join("deploy").join(source).exists();
            assert!(exists, "{name} mounts {source}, which does not exist");
        }
    }
}

/// Both units with their program where the build put it: systemd wants it to be there.
fn units() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for unit in UNITS {
        let program = format!("/usr/local/bin/{unit}");
        let text = read(&format!("deploy/systemd/{unit}@.service"));
        assert!(text.contains(&format!("ExecStart={program}\n")), "{unit}");
        let here = text.replace(&program, &built().join(unit).display().to_string());
        fs::write(folder.path().join(format!("{unit}@.service")), here).unwrap();
    }
    folder
}

#[test]
fn systemd_accepts_the_units() {
    let folder = units();
    for unit in UNITS {
        let file = folder.path().join(format!("{unit}@.service"));
        silent(Command::new(tool("systemd-analyze")).args(["verify", "--man=no", "--recursive-errors=no"]).arg(file));
    }
}

#[test]
fn the_units_are_confined() {
    let folder = units();
    for unit in UNITS {
        let file = folder.path().join(format!("{unit}@.service"));
        // The exposure level times ten; a unit without any setting has 96.
        stdout(Command::new(tool("systemd-analyze")).args(["security", "--offline=true", "--threshold=20"]).arg(file));
    }
}

#[test]
fn the_units_use_variables_that_exist_and_outlast_the_drain() {
    for unit in UNITS {
        let text = read(&format!("deploy/systemd/{unit}@.service"));
        let help = help(unit, None);
        let setting = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        let variables = text.lines().filter_map(|line| line.strip_prefix("Environment=")?.split_once('='));
        for (variable, value) in variables {
            assert!(explains(&help, variable), "{unit}: {variable}");
            if variable == "LEASEHOLD_DRAIN_TIMEOUT" {
                let stop = Duration::from_secs(setting("TimeoutStopSec").unwrap().parse().unwrap());
                assert!(stop > duration::parse(value).unwrap() + Duration::from_secs(10), "{unit}");
            }
        }
        assert_eq!(setting("KillSignal"), Some("SIGTERM"), "{unit}");
    }
    // A drain lets programs finish, so the signal must not reach them.
    assert!(read("deploy/systemd/leasehold-executor@.service").contains("\nKillMode=mixed\n"));
}
