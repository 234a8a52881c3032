//! Postgres over TLS, with the server's certificate verified.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use leasehold_common::store::ErrorKind;
use leasehold_store::Options;
use leasehold_tests::server::Postgres;
use leasehold_tests::tls::Certificates;
use leasehold_tests::wait;

#[tokio::test]
async fn verify_full_accepts_the_right_server_only() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let certificates = Certificates::make(folder.path());
    let stranger = Certificates::make(other.path());
    let tls = Some((certificates.certificate.clone(), certificates.key.clone()));
    let server = Postgres { tls, ..Postgres::default() }.start();
    let url = |host: &str, authority: &std::path::Path| {
        format!(
            "postgres://leasehold@{host}:{}/postgres?sslmode=verify-full&sslrootcert={}",
            server.port,
            authority.display()
        )
    };
    let store = wait::until("the store opens over TLS", || async {
        leasehold_store::open(&url("localhost", &certificates.authority), &Options::default())
            .await
            .map_err(|e| e.to_string())
    })
    .await;
    assert!(store.migrate().await.unwrap() > 0);
    store.check_schema().await.unwrap();

    for (host, authority, why) in [
        ("localhost", &stranger.authority, "another authority"),
        ("127.0.0.1", &certificates.authority, "another host name than the certificate's"),
    ] {
        match leasehold_store::open(&url(host, authority), &Options::default()).await {
            Ok(_) => panic!("{why} was accepted"),
            Err(error) => assert_eq!(error.kind, ErrorKind::Unavailable, "{why}: {error}"),
        }
    }
}
