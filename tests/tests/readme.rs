//! What people copy from the documentation works: the README's fleets are started, failed over and stopped by the lines
//! that stand there, its config passes the check, and every command of the manual exists with its flags.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use leasehold_tests::fleet::binary;
use leasehold_tests::server::free_port;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The lines of the block behind `<!-- fleet: NAME -->`.
fn block<'a>(page: &'a str, name: &str) -> &'a str {
    let mark = format!("<!-- fleet: {name} -->\n```bash\n");
    let from = page.find(&mark).unwrap_or_else(|| panic!("the README has no block {name:?}")) + mark.len();
    &page[from..from + page[from..].find("```").unwrap()]
}

/// The blocks, with what a test must know between them. A reader looks at the screen and waits; the test asks again.
fn script(page: &str, orders_port: u16) -> String {
    let begin = block(page, "begin")
        .replace("leasehold example orders", &format!("leasehold example orders --listen :{orders_port}"))
        .replace("/tmp/", "./");
    // Until somebody presses Ctrl-C; here, until five reports have come.
    let look = block(page, "look").replace("leasehold watch ", "leasehold watch -o json | head -n 5 #");
    let (kill, end) = (block(page, "kill"), block(page, "end"));
    let leader = "leasehold status | sed -n 's/^leader *//p'";
    format!(
        "trap 'kill $(jobs -p) 2>/dev/null; [ -d \"$THROWAWAY_POSTGRES\" ] && deploy/throwaway-postgres stop' EXIT\n\
         {begin}\n\
         until {leader} | grep -q 'term 1,'; do sleep 0.1; done\n\
         {look}\n\
         {kill}\n\
         until {leader} | grep -q 'term 2,'; do sleep 0.1; done\n\
         leasehold watch -o json | head -n 5\n\
         folder=$THROWAWAY_POSTGRES\n\
         {end}\n\
         [ ! -e \"$folder\" ] && [ -z \"$(jobs -pr)\" ] && echo 'nothing is left'\n"
    )
}

#[test]
fn the_steps_for_two_fleets_work_as_written() {
    let page = std::fs::read_to_string(repository().join("README.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for copied in ["deploy", "examples"] {
        let status = Command::new("cp").arg("-r").arg(repository().join(copied)).arg(folder.path()).status().unwrap();
        assert!(status.success());
    }
    let port = free_port();
    std::fs::write(folder.path().join("steps"), script(&page, port)).unwrap();
    let programs = binary("leasehold").parent().unwrap().to_owned();
    let path = std::env::var_os("PATH").unwrap();
    let path = std::env::join_paths([programs].into_iter().chain(std::env::split_paths(&path))).unwrap();

    let output = Command::new("timeout")
        .args(["120", "bash", "steps"])
        .current_dir(folder.path())
        .env("PATH", path)
        .env("ORDERS_PORT", port.to_string())
        .env_remove("LEASEHOLD_STORE")
        .output()
        .unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let told = || format!("{}\n--- stdout\n{stdout}\n--- stderr\n{stderr}", output.status);

    assert!(output.status.success(), "{}", told());
    assert!(stdout.contains("term 1,") && stdout.contains("term 2,"), "both leaders are seen: {}", told());
    let reports = stdout.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let succeeded = reports.filter(|report| report["outcome"] == "succeeded").count();
    assert!(succeeded >= 8, "reports come before and after: {}", told());
    assert!(stdout.contains("nothing is left"), "{}", told());
}

#[test]
fn the_config_of_the_readme_has_no_mistake_and_no_warning() {
    let page = std::fs::read_to_string(repository().join("README.md")).unwrap();
    let config = page.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let checked = leasehold_common::config::check("README.md", config, &|_| None);
    let said: Vec<String> = checked.diagnostics.iter().map(ToString::to_string).collect();
    assert!(checked.config.is_some() && said.is_empty(), "{}", said.join("\n"));
}

/// The pages that people copy commands from.
fn pages() -> Vec<PathBuf> {
    let folders = ["", "docs", "docs/how-to", "docs/explanation", "docs/reference", "deploy", "examples/quickstart"];
    let files = folders.iter().flat_map(|folder| std::fs::read_dir(repository().join(folder)).unwrap());
    let pages = files.map(|file| file.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "md"));
    let pages: Vec<PathBuf> = pages.collect();
    assert!(pages.len() > 15, "{pages:?}");
    pages
}

/// The lines of blocks in a shell's language, continued lines as one.
fn shell_lines(page: &str) -> Vec<String> {
    let (mut within, mut shell) = (false, String::new());
    for line in page.lines() {
        match line.trim_start().strip_prefix("```") {
            Some(language) => within = !within && matches!(language, "sh" | "bash"),
            None if within => shell.push_str(&format!("{line}\n")),
            None => {}
        }
    }
    shell.replace("\\\n", " ").lines().map(str::to_owned).collect()
}

/// A program of ours and its arguments, wherever it stands in a line: after `$(`, in a pipe, behind a variable.
fn invocations(line: &str) -> Vec<Vec<&str>> {
    const PROGRAMS: [&str; 3] = ["leasehold", "leasehold-scheduler", "leasehold-executor"];
    let code = line.split(" #").next().unwrap_or(line);
    let commands = code.split(['|', ';', '&', '(', ')', '"', '`', '>', '<']).filter(|part| !part.trim().is_empty());
    let words = commands.map(|part| part.split_whitespace().skip_while(|word| word.contains('=')).collect::<Vec<_>>());
    let ours = words.filter_map(|words| {
        // `cargo run -- ARGUMENTS` is the command, too.
        if let ["cargo", "run", rest @ ..] = words.as_slice() {
            let at = rest.iter().position(|word| *word == "--")?;
            return (!rest.contains(&"-p")).then(|| [&["leasehold"], &rest[at + 1..]].concat());
        }
        let first: &str = words.first()?;
        let program = Path::new(first).file_name()?.to_str()?;
        PROGRAMS.contains(&program).then(|| [&[program], &words[1..]].concat())
    });
    ours.collect()
}

#[test]
fn the_commands_of_the_manual_exist_with_their_flags() {
    let mut helps: HashMap<Vec<String>, String> = HashMap::new();
    let mut help = |arguments: &[&str]| -> String {
        let key: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let ask = || {
            let output = Command::new(binary(arguments[0])).args(&arguments[1..]).arg("--help").output().unwrap();
            if output.status.success() { String::from_utf8(output.stdout).unwrap() } else { String::new() }
        };
        helps.entry(key).or_insert_with(ask).clone()
    };
    let explains = |help: &str, flag: &str| {
        help.split(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_')).any(|word| word == flag)
    };
    let (mut seen, mut wrong) = (0, Vec::new());
    for page in pages() {
        for line in shell_lines(&std::fs::read_to_string(&page).unwrap()) {
            for words in invocations(&line) {
                seen += 1;
                let commands: Vec<&str> = words.iter().copied().take_while(|word| !word.starts_with('-')).collect();
                let texts: Vec<String> = (1..=commands.len().min(3)).map(|n| help(&commands[..n])).collect();
                let known = commands.len() == 1 || !texts[1].is_empty() || words[0] != "leasehold";
                let flags = words.iter().filter(|word| word.len() > 1 && word.starts_with('-') && **word != "--");
                let unknown = flags.map(|flag| flag.split('=').next().unwrap_or(flag)).find(|flag| {
                    !matches!(*flag, "-h" | "--help" | "--version") && !texts.iter().any(|text| explains(text, flag))
                });
                if !known || unknown.is_some() {
                    let page = page.strip_prefix(repository()).unwrap().display();
                    wrong.push(format!("{page}: {} ({})", line.trim(), unknown.unwrap_or("no such command")));
                }
            }
        }
    }
    assert!(seen > 30, "only {seen} commands were found");
    assert!(wrong.is_empty(), "commands that do not exist:\n  {}", wrong.join("\n  "));
}
