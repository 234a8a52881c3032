//! Every statement file, on its real database: it is valid, it names what is there, and the hot ones keep good plans
//! even if they were planned while the queue was empty.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use leasehold_tests::stores::Fixture;
use sqlx::{AssertSqlSafe, Executor as _, Row as _, SqlSafeStr as _};

fn files(dialect: &str) -> Vec<(String, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../store/sql").join(dialect);
    let mut found = Vec::new();
    walk(&root, &mut found);
    found.sort();
    let name = |path: &PathBuf| path.strip_prefix(&root).unwrap().display().to_string();
    found.iter().map(|path| (name(path), std::fs::read_to_string(path).unwrap())).collect()
}

/// The numbers of the parameters of a statement.
fn parameters(text: &str, mark: char) -> BTreeSet<usize> {
    text.lines()
        .filter(|line| !line.trim_start().starts_with("--"))
        .flat_map(|line| line.split(mark).skip(1))
        .filter_map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok())
        .collect()
}

/// Parameters must be numbered without a gap, or a caller binds one that nobody reads.
fn numbered_without_a_gap(name: &str, text: &str, mark: char) {
    let numbers = parameters(text, mark);
    assert!(numbers.iter().copied().eq(1..=numbers.len()), "{name}: {numbers:?}");
}

#[tokio::test]
async fn every_sqlite_statement_prepares() {
    let f = Fixture::sqlite().await;
    let mut connection = f.lite().await;
    let files = files("sqlite");
    assert!(files.len() > 40);
    for (name, text) in files {
        numbered_without_a_gap(&name, &text, '?');
        if let Err(error) = connection.prepare(AssertSqlSafe(text).into_sql_str()).await {
            panic!("{name}: {error}");
        }
    }
}

#[tokio::test]
async fn every_postgres_statement_prepares() {
    let f = Fixture::postgres().await;
    let mut connection = f.pg().await;
    connection.execute("RESET search_path").await.unwrap();
    let files = files("postgres");
    assert!(files.len() > 40);
    for (name, text) in files {
        numbered_without_a_gap(&name, &text, '$');
        if let Err(error) = connection.prepare(AssertSqlSafe(text).into_sql_str()).await {
            panic!("{name}: {error}");
        }
    }
}

/// How the queue's connections plan; the text in the store must stay the same.
const QUEUE_PLANS: &str =
    "SET enable_seqscan = off; SET enable_nestloop = off; SET enable_mergejoin = off; SET jit = off";

/// Statements that run all the time.
const HOT: [&str; 18] = [
    "schedules/due",
    "schedules/dispatch",
    "schedules/rescue",
    "schedules/sweep",
    "queue/activate",
    "queue/claim",
    "queue/lock_runs",
    "queue/dismiss",
    "queue/extend",
    "queue/settle",
    "queue/promote",
    "queue/promote_all",
    "queue/park",
    "queue/wake",
    "queue/wake_timed",
    "queue/limited_gates",
    "queue/charge",
    "runs/trigger",
];

/// The generic plan of a statement, as a pooled connection keeps it.
async fn plan(f: &Fixture, name: &str) -> Vec<String> {
    let text = files("postgres").into_iter().find(|(file, _)| *file == format!("{name}.sql")).unwrap().1;
    let nulls = vec!["NULL"; parameters(&text, '$').len()].join(", ");
    let nulls = if nulls.is_empty() { nulls } else { format!("({nulls})") };
    let mut connection = f.pg().await;
    connection.execute(QUEUE_PLANS).await.unwrap();
    connection.execute("SET plan_cache_mode = force_generic_plan").await.unwrap();
    connection.execute(AssertSqlSafe(format!("PREPARE hot AS {text}"))).await.unwrap();
    let explain = AssertSqlSafe(format!("EXPLAIN (COSTS OFF) EXECUTE hot{nulls}"));
    let rows = connection.fetch_all(explain).await.unwrap();
    rows.iter().map(|row| row.get::<String, _>(0)).collect()
}

/// By which index each table is reached. Join methods, bitmaps and the order of nodes differ between server versions;
/// the indexes must not.
fn reached(plan: &[String]) -> BTreeSet<String> {
    let way = |line: &str| {
        let line = line.trim_start().trim_start_matches("->").trim_start();
        let (node, rest) = line.split_once(" Scan ")?;
        Some(match node {
            "Index" | "Index Only" => rest.strip_prefix("using ")?.split(' ').next()?.to_owned(),
            "Bitmap Index" => rest.strip_prefix("on ")?.to_owned(),
            "Tid" => format!("{} by its place", rest.strip_prefix("on ")?.split(' ').next()?),
            "Seq" => format!("Seq Scan {}", rest.split(' ').take(2).collect::<Vec<_>>().join(" ")),
            _ => return None,
        })
    };
    plan.iter().filter_map(|line| way(line)).collect()
}

async fn plans_made_on_an_empty_queue_use_the_indexes(f: &Fixture) {
    let mut snapshot = String::new();
    for name in HOT {
        let plan = plan(f, name).await;
        let ways = reached(&plan);
        for table in ["ahead", "ready", "running", "job", "tenant"] {
            assert!(!ways.contains(&format!("Seq Scan on {table}")), "{name}:\n{}", plan.join("\n"));
        }
        snapshot.push_str(&format!("{name}\n"));
        for line in ways {
            snapshot.push_str(&format!("    {line}\n"));
        }
    }
    insta::with_settings!({ snapshot_path => "../../snapshots", prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("plans_of_hot_statements", snapshot);
    });
}

/// Reports are ordered last: while a writer waits for its turn it must hold all its other locks, or two of them wait
/// for each other. In a plan that shows as the lock's filter reading every other write of the statement.
async fn the_order_of_reports_is_taken_after_every_other_lock(f: &Fixture) {
    for (name, writes) in [
        ("queue/settle", ["gate", "over", "back", "again", "rearmed"].as_slice()),
        ("queue/dismiss", &["taken", "replaced", "ended", "rearmed"]),
        ("schedules/rescue", &["gate", "back", "dead", "again", "rearmed"]),
        ("schedules/sweep", &["gone", "rearmed"]),
        ("schedules/dispatch", &["j", "item"]),
        ("runs/cancel_waiting", &["r", "a", "ended", "rearmed"]),
        ("catalog/void_items", &["r", "a", "ended"]),
    ] {
        let plan = plan(f, name).await;
        let start = plan.iter().position(|line| line.trim() == "CTE ordered").unwrap();
        let depth = plan[start].len() - plan[start].trim_start().len();
        let ordered: Vec<_> =
            plan[start + 1..].iter().take_while(|line| line.len() - line.trim_start().len() > depth).cloned().collect();
        // What it reads, directly or through other CTEs.
        let mut read = ordered.join("\n");
        for _ in 0..4 {
            for (at, line) in plan.iter().enumerate() {
                let Some(cte) = line.trim().strip_prefix("CTE ").filter(|cte| !cte.contains("Scan")) else { continue };
                if read.contains(&format!("CTE Scan on {cte}\n")) || read.contains(&format!("CTE Scan on {cte} ")) {
                    let depth = line.len() - line.trim_start().len();
                    let body = plan[at + 1..].iter().take_while(|l| l.len() - l.trim_start().len() > depth);
                    for line in body {
                        if !read.contains(line.as_str()) {
                            read.push_str(line);
                            read.push('\n');
                        }
                    }
                }
            }
        }
        for write in writes {
            assert!(
                read.lines().any(|line| line.contains(&format!("CTE Scan on {write}"))),
                "{name}: the order of reports does not wait for {write}\n{}",
                plan.join("\n")
            );
        }
    }
}

postgres!(plans_made_on_an_empty_queue_use_the_indexes, the_order_of_reports_is_taken_after_every_other_lock);
