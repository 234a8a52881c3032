//! Which addresses an HTTP handler may connect to.
//!
//! A URL comes from a config that may be filled with values of tenants, so it must not reach the executor's own
//! network: loopback, private and link-local addresses (cloud metadata among them) and everything else that is not
//! the public internet is refused, unless `--allow-net` names its network.
//!
//! Invariant: what is checked is the address that is connected to. Names are checked as they resolve, inside the
//! client's own resolver, so that a second resolution cannot answer something else; addresses in URLs never reach a
//! resolver and are checked after the URL was parsed, when `0x7f.1`, `2130706433` and `127.1` are all `127.0.0.1`.
//!
//! Not covered: a network that uses public addresses for machines that the public does not reach, and a NAT64 gateway with
//! a prefix of its own. No address shows either; a firewall has to.

use std::fmt::Debug;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// The URL must not be called.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EgressError {
    /// Not the web.
    #[error("the URL has the scheme {0:?}; http and https are possible")]
    Scheme(String),
    /// Nothing to connect to.
    #[error("the URL has no host")]
    NoHost,
    /// An address that is not on the public internet.
    #[error(
        "{host} is {what}, which this executor may not reach; start it with --allow-net {ip} or a network around it"
    )]
    Refused {
        /// As in the URL, or with the address it resolved to.
        host: String,
        /// What the address is.
        what: &'static str,
        /// The address.
        ip: IpAddr,
    },
}

/// Finds the addresses of a name.
#[async_trait]
pub(crate) trait Lookup: Debug + Send + Sync {
    async fn lookup(&self, name: &str) -> io::Result<Vec<SocketAddr>>;
}

/// As the system has it: `/etc/hosts`, DNS and what else it is set up for.
#[derive(Debug)]
struct System;

#[async_trait]
impl Lookup for System {
    async fn lookup(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((name, 0)).await?.collect())
    }
}

/// The addresses that may be connected to. Also a resolver that answers no others.
#[derive(Clone, Debug)]
pub(crate) struct Egress {
    allowed: Arc<[IpNet]>,
    lookup: Arc<dyn Lookup>,
}

impl Default for Egress {
    fn default() -> Self {
        Self::new(&[])
    }
}

impl Egress {
    pub(crate) fn new(allowed: &[IpNet]) -> Self {
        Self { allowed: allowed.into(), lookup: Arc::new(System) }
    }

    /// The same with another way to find addresses.
    #[cfg(test)]
    pub(crate) fn with_lookup(self, lookup: impl Lookup + 'static) -> Self {
        Self { lookup: Arc::new(lookup), ..self }
    }

    /// Checks the URL, and its host if that is an address.
    pub(crate) fn check_url(&self, url: &Url) -> Result<(), EgressError> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(EgressError::Scheme(url.scheme().to_owned()));
        }
        let ip = match url.host() {
            Some(Host::Domain(_)) => return Ok(()),
            Some(Host::Ipv4(ip)) => IpAddr::V4(ip),
            Some(Host::Ipv6(ip)) => IpAddr::V6(ip),
            None => return Err(EgressError::NoHost),
        };
        self.check(ip).map_err(|what| EgressError::Refused { host: ip.to_string(), what, ip })
    }

    /// What the address is, if it is refused.
    fn check(&self, ip: IpAddr) -> Result<(), &'static str> {
        let Some(what) = not_public(ip) else { return Ok(()) };
        let canonical = ip.to_canonical();
        match self.allowed.iter().any(|net| net.contains(&ip) || net.contains(&canonical)) {
            true => Ok(()),
            false => Err(what),
        }
    }

    /// Keeps the addresses that may be connected to; an error if none of them may.
    fn filter(&self, name: &str, resolved: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, EgressError> {
        let mut refused = None;
        let mut kept = Vec::with_capacity(resolved.len());
        for address in resolved {
            match self.check(address.ip()) {
                Ok(()) => kept.push(address),
                Err(what) => refused = Some((address.ip(), what)),
            }
        }
        match refused {
            Some((ip, what)) if kept.is_empty() => {
                Err(EgressError::Refused { host: format!("{name} ({ip})"), what, ip })
            }
            _ => Ok(kept),
        }
    }
}

impl Resolve for Egress {
    fn resolve(&self, name: Name) -> Resolving {
        let egress = self.clone();
        Box::pin(async move {
            let resolved = egress.lookup.lookup(name.as_str()).await?;
            let kept = egress.filter(name.as_str(), resolved)?;
            Ok(Box::new(kept.into_iter()) as Addrs)
        })
    }
}

/// What the address is, unless it is an ordinary one of the public internet.
fn not_public(ip: IpAddr) -> Option<&'static str> {
    match ip {
        IpAddr::V4(ip) => not_public_v4(ip),
        IpAddr::V6(ip) => not_public_v6(ip),
    }
}

/// The IANA special-purpose registry (RFC 6890 and its updates), and the one metadata address outside of it.
fn not_public_v4(ip: Ipv4Addr) -> Option<&'static str> {
    match ip.octets() {
        [0, ..] => Some("an address of \"this network\""),
        [127, ..] => Some("a loopback address"),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Some("a private address"),
        [100, 64..=127, ..] => Some("a shared (carrier-grade NAT) address"),
        [169, 254, ..] => Some("a link-local address (cloud metadata is served there)"),
        [168, 63, 129, 16] => Some("a cloud metadata address"),
        [192, 0, 0, _] | [192, 88, 99, _] | [198, 18..=19, ..] => Some("a special-purpose address"),
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Some("an address for documentation"),
        [224..=239, ..] => Some("a multicast address"),
        [240..=255, ..] => Some("a reserved address"),
        _ => None,
    }
}

fn not_public_v6(ip: Ipv6Addr) -> Option<&'static str> {
    if ip.is_unspecified() {
        return Some("the unspecified address");
    }
    if ip.is_loopback() {
        return Some("a loopback address");
    }
    if let Some(what) = embedded_v4(ip).into_iter().flatten().find_map(not_public_v4) {
        return Some(what);
    }
    match ip.segments() {
        // Traffic to them ends at the IPv4 address within, which was found to be public.
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => None,
        [0xfc00..=0xfdff, ..] => Some("a unique local address"),
        [0xfe80..=0xfebf, ..] => Some("a link-local address"),
        [0xfec0..=0xfeff, ..] => Some("a site-local address"),
        [0xff00..=0xffff, ..] => Some("a multicast address"),
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Some("an address for documentation"),
        [0x2001, 0, ..] => Some("a Teredo address"),
        [0x2001, 0..=0x1ff, ..] => Some("a special-purpose address"),
        [0x2002, ..] => Some("a 6to4 address"),
        // All that was ever given out for the public internet.
        [0x2000..=0x3fff, ..] => None,
        _ => Some("a reserved address"),
    }
}

/// The IPv4 addresses that traffic to this one may end at, if it is of a kind that carries one: compatible (`::/96`),
/// mapped (`::ffff:0:0/96`), translated (`::ffff:0:0:0/96`, RFC 2765), NAT64 (`64:ff9b::/96`, RFC 6052), 6to4
/// (`2002::/16`), Teredo (its server, and its client in reverse, RFC 4380) and ISATAP (RFC 5214).
fn embedded_v4(ip: Ipv6Addr) -> Option<[Ipv4Addr; 2]> {
    let pair = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match ip.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => Some([pair(high, low); 2]),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some([pair(high, low); 2]),
        [0x2002, high, low, ..] => Some([pair(high, low); 2]),
        [0x2001, 0, high, low, _, _, client_high, client_low] => {
            Some([pair(high, low), pair(!client_high, !client_low)])
        }
        [_, _, _, _, 0 | 0x200, 0x5efe, high, low] => Some([pair(high, low); 2]),
        _ => None,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn check(egress: &Egress, url: &str) -> Result<(), EgressError> {
        egress.check_url(&Url::parse(url).unwrap())
    }

    #[test]
    fn loopback_is_refused_in_every_spelling() {
        let egress = Egress::default();
        for host in [
            "127.0.0.1",
            "127.0.0.1.",
            "127.1",
            "0x7f.1",
            "0x7f000001",
            "2130706433",
            "0177.0.0.1",
            "017700000001",
            "127.255.255.254",
            "%31%32%37.0.0.1",
            "①②⑦.0.0.1",
            "127。0。0。1",
            "0",
            "0.0.0.0",
            "[::1]",
            "[0:0:0:0:0:0:0:1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[::127.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[64:ff9b:1::7f00:1]",
            "[2002:7f00:1::]",
            "[::ffff:0:127.0.0.1]",
            "[2001::1:0:80ff:fffe]",
            "[2001:0:7f00:1::5]",
            "[2606:4700::5efe:7f00:1]",
            "[2606:4700::200:5efe:127.0.0.1]",
            "0X7F.0x0.0.0x1",
            "127.0.1",
            "127.65535",
            "0000177.0.0.1",
            "0x7f000001.",
            "００００",
        ] {
            let answer = check(&egress, &format!("http://{host}:9000/x"));
            assert!(matches!(answer, Err(EgressError::Refused { .. })), "{host}: {answer:?}");
        }
    }

    #[test]
    fn so_is_everything_else_that_is_not_the_public_internet() {
        let egress = Egress::default();
        for host in [
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "100.100.100.200",
            "169.254.169.254",
            "168.63.129.16",
            "192.0.0.192",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "[fd00:ec2::254]",
            "[fe80::1]",
            "[fec0::1]",
            "[ff02::1]",
            "[2001:db8::1]",
            "[2001::1]",
            "[2001:0:808:808:0:0:f7f7:f7f7]",
            "[2002:808:808::]",
            "[::8.8.8.8]",
            "[3fff::1]",
            "[5f00::1]",
            "[4000::1]",
            "[100::1]",
            "[::ffff:10.0.0.1]",
            "[2002:a9fe:a9fe::]",
        ] {
            assert!(check(&egress, &format!("https://{host}/")).is_err(), "{host}");
        }
        for host in [
            "93.184.215.14",
            "172.32.0.1",
            "100.128.0.1",
            "[2606:4700::1111]",
            "[64:ff9b::808:808]",
            "[::ffff:8.8.8.8]",
            "134744072",
            "[2606:4700::5efe:808:808]",
            "example.org",
        ] {
            assert_eq!(check(&egress, &format!("https://{host}/")), Ok(()), "{host}");
        }
    }

    #[test]
    fn spellings_that_are_no_address_and_no_name_are_no_urls() {
        for host in [
            "[fe80::1%25eth0]",
            "[fe80::1%eth0]",
            "[::1",
            "256.0.0.1",
            "0x100000000",
            "127.0.0.1.1",
            "1.2.3.08",
            "[::ffff:127.1]",
        ] {
            assert!(Url::parse(&format!("http://{host}/")).is_err(), "{host}");
        }
        // What stands in front of an @ is no host.
        let disguised = Url::parse("http://example.org@127.0.0.1/").unwrap();
        assert!(Egress::default().check_url(&disguised).is_err());
        let disguised = Url::parse("http:\\\\127.0.0.1\\@example.org/").unwrap();
        assert!(Egress::default().check_url(&disguised).is_err());
    }

    #[test]
    fn an_allowed_network_opens_itself_and_nothing_more() {
        let egress = Egress::new(&["127.0.0.0/8".parse().unwrap(), "fd00:1::/32".parse().unwrap()]);
        for host in ["127.0.0.1", "0x7f.1", "[::ffff:127.0.0.1]", "[fd00:1::5]"] {
            assert_eq!(check(&egress, &format!("http://{host}/")), Ok(()), "{host}");
        }
        for host in ["[::1]", "10.0.0.1", "[fd00:2::5]", "169.254.169.254", "[64:ff9b::7f00:1]"] {
            assert!(check(&egress, &format!("http://{host}/")).is_err(), "{host}");
        }
    }

    #[test]
    fn only_the_web_is_called() {
        for url in ["file:///etc/passwd", "ftp://example.org/", "gopher://example.org/", "data:,x"] {
            assert!(matches!(check(&Egress::default(), url), Err(EgressError::Scheme(_))), "{url}");
        }
    }

    #[test]
    fn the_refusal_names_the_flag() {
        let text = check(&Egress::default(), "http://169.254.169.254/latest/").unwrap_err().to_string();
        assert!(text.contains("--allow-net 169.254.169.254") && text.contains("metadata"), "{text}");
    }

    #[test]
    fn a_name_keeps_only_the_addresses_that_are_allowed() {
        let egress = Egress::default();
        let public: SocketAddr = "93.184.215.14:0".parse().unwrap();
        let inner: SocketAddr = "10.0.0.1:0".parse().unwrap();
        assert_eq!(egress.filter("x", vec![inner, public]), Ok(vec![public]));
        assert!(
            matches!(egress.filter("x", vec![inner]), Err(EgressError::Refused { host, .. }) if host == "x (10.0.0.1)")
        );
    }

    #[tokio::test]
    async fn localhost_is_refused_when_it_resolves() {
        let error = Egress::default().resolve("localhost".parse().unwrap()).await.err().unwrap();
        assert!(error.to_string().contains("--allow-net"), "{error}");
        let allowed = Egress::new(&["127.0.0.0/8".parse().unwrap()]);
        let addresses: Vec<_> = allowed.resolve("localhost".parse().unwrap()).await.unwrap().collect();
        assert!(addresses.iter().all(|address| address.ip() == IpAddr::from([127, 0, 0, 1])), "{addresses:?}");
        assert!(!addresses.is_empty());
    }
}
