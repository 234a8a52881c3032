//! Limits that the kernel holds a program to, set by `prlimit` of util-linux, which then becomes the program.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use leasehold_common::command::Resources;
use rustix::process::{Resource, getrlimit};

use super::environment::Variables;

/// How much CPU time a program has left after SIGXCPU before the kernel kills it, in seconds.
pub(super) const CPU_GRACE: u64 = 5;

/// `prlimit`, looked for in the executor's own `path` and not in a job's, and its options, to which the program and its
/// arguments are added.
pub(super) fn limiter(resources: &Resources, path: &OsStr) -> io::Result<(PathBuf, Vec<OsString>)> {
    let prlimit = search("prlimit", path)?;
    let mut options = arguments(resources, |resource| getrlimit(resource).maximum);
    options.push("--".into());
    Ok((prlimit, options))
}

/// The options of `prlimit`. Nobody but root may raise a hard limit, so that the executor's own, which `hard` answers,
/// stands where it is lower.
fn arguments(resources: &Resources, hard: impl Fn(Resource) -> Option<u64>) -> Vec<OsString> {
    let Resources { cpu, memory, files, processes, file_size } = *resources;
    [
        ("cpu", Resource::Cpu, cpu, CPU_GRACE),
        ("as", Resource::As, memory, 0),
        ("nofile", Resource::Nofile, files, 0),
        ("nproc", Resource::Nproc, processes, 0),
        ("fsize", Resource::Fsize, file_size, 0),
    ]
    .into_iter()
    .filter_map(|(option, resource, limit, grace)| {
        let most = hard(resource).unwrap_or(u64::MAX);
        let (soft, hard) = (limit?.min(most), limit?.saturating_add(grace).min(most));
        Some(format!("--{option}={soft}:{hard}").into())
    })
    .collect()
}

/// The file that a program's name means: with a slash a path, relative to `workdir`; any other is looked for in PATH.
pub(super) fn find(program: &str, workdir: &Path, variables: &Variables) -> io::Result<PathBuf> {
    match program.contains('/') {
        true => check(workdir.join(program)),
        false => search(program, path_of(variables)),
    }
}

fn path_of(variables: &Variables) -> &OsStr {
    variables.get(OsStr::new("PATH")).map_or(OsStr::new(""), OsString::as_os_str)
}

/// The first file of that name that can be started; else why the first that is there cannot.
fn search(program: &str, path: &OsStr) -> io::Result<PathBuf> {
    let mut refused = None;
    for folder in std::env::split_paths(path).filter(|folder| folder.is_absolute()) {
        match check(folder.join(program)) {
            Ok(found) => return Ok(found),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => refused = refused.or(Some(error)),
            Err(_) => {}
        }
    }
    Err(refused.unwrap_or_else(|| rustix::io::Errno::NOENT.into()))
}

fn check(path: PathBuf) -> io::Result<PathBuf> {
    let found = path.metadata()?;
    match found.is_file() && found.permissions().mode() & 0o111 != 0 {
        true => Ok(path),
        false => Err(rustix::io::Errno::ACCESS.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_is_passed_on_and_none_is_raised() {
        let all = Resources {
            cpu: Some(60),
            memory: Some(1 << 29),
            files: Some(256),
            processes: Some(64),
            file_size: Some(100 << 20),
        };
        let of = |hard: Option<u64>| arguments(&all, |_| hard);
        assert_eq!(
            of(None),
            [
                "--cpu=60:65",
                "--as=536870912:536870912",
                "--nofile=256:256",
                "--nproc=64:64",
                "--fsize=104857600:104857600"
            ]
        );
        assert_eq!(of(Some(62)), ["--cpu=60:62", "--as=62:62", "--nofile=62:62", "--nproc=62:62", "--fsize=62:62"]);
        assert!(arguments(&Resources::default(), |_| None).is_empty());
    }
}
