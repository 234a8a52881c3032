//! A certificate authority of a test.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Files of a certificate authority and of a server certificate for `localhost` that it signed.
#[derive(Debug)]
pub struct Certificates {
    /// The authority's certificate.
    pub authority: PathBuf,
    /// The server's certificate.
    pub certificate: PathBuf,
    /// The server's key.
    pub key: PathBuf,
}

impl Certificates {
    /// Makes them in `folder`; folder and key belong to the user that servers run as.
    #[must_use]
    pub fn make(folder: &Path) -> Self {
        let file = |name: &str| folder.join(name).display().to_string();
        openssl(&[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=Leasehold test authority",
            "-keyout",
            &file("ca.key"),
            "-out",
            &file("ca.crt"),
        ]);
        openssl(&[
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-subj",
            "/CN=localhost",
            "-keyout",
            &file("server.key"),
            "-out",
            &file("server.csr"),
        ]);
        std::fs::write(folder.join("san"), "subjectAltName=DNS:localhost\n").unwrap();
        openssl(&[
            "x509",
            "-req",
            "-in",
            &file("server.csr"),
            "-CA",
            &file("ca.crt"),
            "-CAkey",
            &file("ca.key"),
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            &file("san"),
            "-out",
            &file("server.crt"),
        ]);
        let made = Self {
            authority: folder.join("ca.crt"),
            certificate: folder.join("server.crt"),
            key: folder.join("server.key"),
        };
        if rustix::process::geteuid().is_root() {
            own(folder);
            own(&made.key);
        }
        made
    }
}

/// Gives a file to the user that servers run as.
fn own(path: &Path) {
    let status = Command::new("chown").arg("postgres").arg(path).status().unwrap();
    assert!(status.success());
}

fn openssl(arguments: &[&str]) {
    let output = Command::new("openssl").args(arguments).output().expect("openssl is installed");
    assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}
