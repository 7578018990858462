//! Addresses as people write them: the public URL of this server, networks of proxies, and the name
//! and port that a request is addressed to.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// The name and the port in `name`, `name:port`, `[address]` or `[address]:port`; `None` for anything
/// else. An IPv6 address comes without its brackets.
pub(crate) fn split_authority(text: &str) -> Option<(&str, Option<u16>)> {
    let (name, rest) = if let Some(bracketed) = text.strip_prefix('[') {
        let (address, rest) = bracketed.split_once(']')?;
        address.parse::<Ipv6Addr>().ok()?;
        (address, rest)
    } else {
        let end = text.find(':').unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        let taken = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        if name.is_empty() || !name.bytes().all(taken) {
            return None;
        }
        (name, rest)
    };
    let port = match rest.strip_prefix(':') {
        None if rest.is_empty() => None,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(digits.parse().ok()?)
        }
        _ => return None,
    };
    Some((name, port))
}

/// Whether a host name or address, without brackets, is this machine's own.
pub(crate) fn is_loopback_name(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// Where callers reach this server from outside, such as `https://venom.example`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublicUrl {
    origin: String,
    host: String,
}

impl PublicUrl {
    /// Parses scheme, name and port. Only loopback names may go without TLS.
    ///
    /// # Errors
    /// What was expected.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let expected = || {
            "expected https://, a host name and perhaps a port, without a path; http:// only for \
             loopback names"
                .to_owned()
        };
        let text = text.to_ascii_lowercase();
        let (scheme, rest) = text.split_once("://").ok_or_else(expected)?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = split_authority(authority).ok_or_else(expected)?;
        let usual_port = match scheme {
            "https" => 443,
            "http" if is_loopback_name(host) => 80,
            _ => return Err(expected()),
        };
        let is_address = host.parse::<IpAddr>().is_ok();
        if port == Some(0) || (!is_address && host.split('.').any(str::is_empty)) {
            return Err(expected());
        }
        let shown = if host.contains(':') {
            format!("[{host}]")
        } else {
            host.to_owned()
        };
        let port = port.filter(|port| *port != usual_port);
        let port = port.map_or_else(String::new, |port| format!(":{port}"));
        Ok(Self {
            origin: format!("{scheme}://{shown}{port}"),
            host: host.to_owned(),
        })
    }

    /// Scheme, name and port, as browsers write an origin: in lower case, without the scheme's usual port.
    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// Name and port, as a request is addressed: without the scheme's usual port.
    pub(crate) fn authority(&self) -> &str {
        self.origin
            .split_once("://")
            .map_or("", |(_, authority)| authority)
    }

    /// Whether it is reached over TLS.
    pub(crate) fn is_https(&self) -> bool {
        self.origin.starts_with("https://")
    }

    /// The port.
    pub(crate) fn port(&self) -> u16 {
        let usual = if self.is_https() { 443 } else { 80 };
        let named = split_authority(self.authority()).and_then(|(_, port)| port);
        named.unwrap_or(usual)
    }

    /// The name or address, in lower case, without port and brackets.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }
}

/// Addresses with the same first bits, such as `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    address: IpAddr,
    prefix_bits: u32,
}

impl Network {
    /// Parses an address, or an address and the number of bits that count.
    ///
    /// # Errors
    /// What was expected.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let expected =
            || "expected IP addresses or ranges such as 10.0.0.0/8, separated by commas".to_owned();
        let (address, prefix_bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| expected())?;
        let bits_max = if address.is_ipv4() { 32 } else { 128 };
        let prefix_bits = match prefix_bits {
            None => bits_max,
            Some(bits) if bits.bytes().all(|byte| byte.is_ascii_digit()) => {
                bits.parse().map_err(|_| expected())?
            }
            Some(_) => return Err(expected()),
        };
        if prefix_bits > bits_max {
            return Err(expected());
        }
        Ok(Self {
            address,
            prefix_bits,
        })
    }

    /// Whether an address lies in it. An IPv4 address that is written as IPv6 counts as IPv4.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let differing = own.to_bits() ^ other.to_bits();
                differing.checked_shr(32 - self.prefix_bits).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let differing = own.to_bits() ^ other.to_bits();
                differing.checked_shr(128 - self.prefix_bits).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use venom_fuzz::Target;

    #[test]
    fn authorities_are_names_or_addresses_with_a_port() {
        for (text, expected) in [
            ("localhost", Some(("localhost", None))),
            ("localhost:8000", Some(("localhost", Some(8000)))),
            ("127.0.0.1:1", Some(("127.0.0.1", Some(1)))),
            ("[::1]", Some(("::1", None))),
            ("[::1]:443", Some(("::1", Some(443)))),
            ("venom_1.example", Some(("venom_1.example", None))),
            ("", None),
            (":80", None),
            ("a:", None),
            ("a:80:90", None),
            ("a:+80", None),
            ("a:65536", None),
            ("::1", None),
            ("[::1]x", None),
            ("[localhost]", None),
            ("me@localhost", None),
            ("localhost:80@evil.example", None),
            ("a b", None),
            ("a/b", None),
            ("caf\u{e9}.example", None),
        ] {
            assert_eq!(split_authority(text), expected, "{text:?}");
        }
    }

    #[test]
    fn public_urls_become_origins() {
        for (text, origin, host) in [
            (
                "https://venom.example",
                "https://venom.example",
                "venom.example",
            ),
            (
                "HTTPS://Venom.Example:443/",
                "https://venom.example",
                "venom.example",
            ),
            (
                "https://venom.example:8443",
                "https://venom.example:8443",
                "venom.example",
            ),
            (
                "https://[2001:db8::1]:80",
                "https://[2001:db8::1]:80",
                "2001:db8::1",
            ),
            (
                "http://localhost:8000",
                "http://localhost:8000",
                "localhost",
            ),
            ("http://127.0.0.1:80", "http://127.0.0.1", "127.0.0.1"),
        ] {
            let url = PublicUrl::parse(text).unwrap();
            assert_eq!((url.origin(), url.host()), (origin, host), "{text}");
        }
        for bad in [
            "venom.example",
            "http://venom.example",
            "ftp://venom.example",
            "https://",
            "https:///",
            "https://venom.example/mcp",
            "https://venom.example//",
            "https://venom.example?x",
            "https://venom.example#x",
            "https://me@venom.example",
            "https://me:pw@venom.example",
            "https://venom.example:0",
            "https://venom.example:99999",
            "https://venom..example",
            "https://venom.example.",
            "https://a b",
        ] {
            assert!(PublicUrl::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn networks_hold_addresses_with_their_first_bits() {
        let check = |network: &str, address: &str| {
            let network = Network::parse(network).unwrap();
            network.contains(address.parse().unwrap())
        };
        assert!(check("10.0.0.0/8", "10.255.0.1") && !check("10.0.0.0/8", "11.0.0.0"));
        assert!(check("10.1.2.3", "10.1.2.3") && !check("10.1.2.3", "10.1.2.2"));
        assert!(check("0.0.0.0/0", "203.0.113.9") && !check("0.0.0.0/0", "::1"));
        assert!(check("::/0", "2001:db8::1") && check("fd00::/8", "fd12::1"));
        assert!(check("127.0.0.1", "::ffff:127.0.0.1"));
        for bad in [
            "",
            "10.0.0.0/",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/+8",
            "host",
            "10/8",
        ] {
            assert!(Network::parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_taken_or_refused(text in "\\PC{0,40}") {
            let _ = split_authority(&text);
            let _ = Network::parse(&text);
            if let Ok(url) = PublicUrl::parse(&text) {
                prop_assert_eq!(PublicUrl::parse(url.origin()).unwrap(), url);
            }
        }

        #[test]
        fn what_is_nearly_a_url_ends_in_an_origin_or_a_refusal(
            text in "(https?|ftp)://[a-z\\[\\]:@.]{0,12}(:[0-9]{0,6})?[/?#]?",
        ) {
            if let Ok(url) = PublicUrl::parse(&text) {
                prop_assert!(!url.origin().contains(['@', '?', '#']), "{}", url.origin());
                prop_assert_eq!(url.origin().matches('/').count(), 2);
                prop_assert!(url.origin().starts_with("https://") || is_loopback_name(url.host()));
                prop_assert_eq!(PublicUrl::parse(url.origin()).unwrap(), url);
            }
        }

        #[test]
        fn a_network_is_compared_bit_by_bit(own: u32, other: u32, bits in 0_u32..=32) {
            let network = Network::parse(&format!("{}/{bits}", IpAddr::V4(own.into()))).unwrap();
            let same = (0..bits).all(|bit| (own ^ other) >> (31 - bit) & 1 == 0);
            prop_assert_eq!(network.contains(IpAddr::V4(other.into())), same);
            prop_assert_eq!(Network::parse(&network.to_string()).unwrap(), network);
        }
    }

    #[test]
    fn fuzz_addresses() {
        let words = [
            "https://",
            "http://",
            "localhost",
            "[::1]",
            ":443",
            "/8",
            "/128",
            "10.0.0.0",
            "::ffff:",
            "@",
            "xn--",
            ".",
            ":",
            "%",
            "\\",
        ];
        Target::new("addresses").words(&words).run(|bytes| {
            let text = String::from_utf8_lossy(bytes);
            let network = Network::parse(&text).ok();
            if let Some(network) = network {
                assert_eq!(Network::parse(&network.to_string()), Ok(network));
                // What stands for an IPv4 address counts as one.
                let own = network.address;
                assert!(network.contains(own) || own != own.to_canonical());
            }
            let url = PublicUrl::parse(&text).ok();
            if let Some(url) = &url {
                assert_eq!(PublicUrl::parse(url.origin()).as_ref(), Ok(url));
                assert!(url.origin().starts_with("https://") || is_loopback_name(url.host()));
                assert!(url.origin().is_ascii() && url.origin().matches('/').count() == 2);
            }
            let authority = split_authority(&text);
            if let Some((name, port)) = authority {
                let port = port.map_or_else(String::new, |port| format!(":{port}"));
                let again = if name.contains(':') {
                    format!("[{name}]{port}")
                } else {
                    format!("{name}{port}")
                };
                assert_eq!(split_authority(&again), authority);
            }
            let port = authority.map(|(_, port)| port.is_some());
            (network.map(|it| it.prefix_bits), url.is_some(), port)
        });
    }
}
