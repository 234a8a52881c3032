//! The README's fleets, started, failed over and stopped by the lines that stand there.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
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
