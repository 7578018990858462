//! Who is at the other end: the address that a connection comes from, or the one that a trusted proxy
//! tells.
//!
//! Read are `X-Forwarded-For` and `X-Forwarded-Proto`, which every proxy can send. `Forwarded` (RFC
//! 7239) is not: where a proxy sets one and passes on the caller's other, whoever reads both is lied to.

use crate::addresses::Network;
use axum::http::{HeaderMap, HeaderName};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// Bits of an IPv6 address that tell networks apart; who has one has all of its addresses.
const NETWORK_BITS: u32 = 64;

/// The caller of a request: an extension of every request that reaches the routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    /// Its address, IPv4 where it is one.
    pub(crate) address: IpAddr,
    /// Whether it speaks TLS.
    pub(crate) tls: bool,
}

impl Peer {
    /// The other end of a connection.
    pub(super) fn of_connection(address: SocketAddr, tls: bool) -> Self {
        Self {
            address: address.ip().to_canonical(),
            tls,
        }
    }

    /// Whether it is one of these proxies.
    pub(super) fn is_among(self, proxies: &[Network]) -> bool {
        proxies.iter().any(|proxy| proxy.contains(self.address))
    }

    /// The caller behind the other end of a connection. Of the addresses that proxies appended one after
    /// the other, that is the last one which is no trusted proxy itself: everything before it may be
    /// invented. Somebody who is no trusted proxy is taken for what the connection says.
    pub(super) fn behind(self, headers: &HeaderMap, proxies: &[Network]) -> Self {
        if !self.is_among(proxies) {
            return self;
        }
        let mut caller = self;
        for told in listed(headers, &FORWARDED_FOR) {
            let Some(address) = forwarded_address(told) else {
                break;
            };
            caller.address = address;
            if !caller.is_among(proxies) {
                break;
            }
        }
        if let Some(scheme) = listed(headers, &FORWARDED_PROTO).next() {
            caller.tls = scheme.eq_ignore_ascii_case("https");
        }
        caller
    }
}

/// The items of a header's lines, the last one first.
fn listed<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines: Vec<&str> = headers
        .get_all(name)
        .iter()
        .map(|line| line.to_str().unwrap_or_default())
        .collect();
    let items = lines.into_iter().rev().flat_map(|line| line.rsplit(','));
    items.map(str::trim)
}

/// The address in an item: alone, or with the port that some proxies add.
fn forwarded_address(item: &str) -> Option<IpAddr> {
    let bare = item.parse().ok();
    let bracketed = || item.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let with_port = || item.parse().ok().map(|address: SocketAddr| address.ip());
    let address: IpAddr = bare.or_else(bracketed).or_else(with_port)?;
    Some(address.to_canonical())
}

/// The same address for everybody who shares a network: IPv4 as it is, of IPv6 the first 64 bits.
pub(super) fn one_network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let mask = !(u128::MAX >> NETWORK_BITS);
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use venom_fuzz::Target;

    fn peer(address: &str) -> Peer {
        Peer {
            address: address.parse().unwrap(),
            tls: false,
        }
    }

    fn told(lines: &[(&'static str, &str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    fn proxies() -> Vec<Network> {
        ["10.0.0.0/8", "127.0.0.1", "fd00::/8"]
            .map(|text| Network::parse(text).unwrap())
            .to_vec()
    }

    #[track_caller]
    fn check(from: &str, forwarded_for: &[&str], expected: &str) {
        let lines: Vec<_> = forwarded_for
            .iter()
            .map(|line| ("x-forwarded-for", *line))
            .collect();
        let caller = peer(from).behind(&told(&lines), &proxies());
        assert_eq!(caller.address.to_string(), expected);
    }

    #[test]
    fn only_trusted_proxies_tell_who_calls() {
        check("10.0.0.1", &["203.0.113.7"], "203.0.113.7");
        check("203.0.113.9", &["198.51.100.1"], "203.0.113.9");
        check("127.0.0.1", &[], "127.0.0.1");
    }

    #[test]
    fn what_stands_before_the_first_stranger_is_not_believed() {
        check("10.0.0.1", &["1.1.1.1, 203.0.113.7"], "203.0.113.7");
        check(
            "10.0.0.1",
            &["1.1.1.1, 203.0.113.7, 10.0.0.2"],
            "203.0.113.7",
        );
        check(
            "10.0.0.1",
            &["1.1.1.1", "203.0.113.7", "10.0.0.2"],
            "203.0.113.7",
        );
        check("10.0.0.1", &["10.0.0.3,10.0.0.2"], "10.0.0.3");
        check("10.0.0.1", &["1.1.1.1, nonsense, 10.0.0.2"], "10.0.0.2");
        check("10.0.0.1", &["1.1.1.1, unknown"], "10.0.0.1");
        check("10.0.0.1", &["1.1.1.1,"], "10.0.0.1");
    }

    #[test]
    fn addresses_come_with_ports_brackets_and_as_ipv6() {
        check("10.0.0.1", &["203.0.113.7:4711"], "203.0.113.7");
        check("10.0.0.1", &["[2001:db8::1]:4711"], "2001:db8::1");
        check("10.0.0.1", &["[2001:db8::1]"], "2001:db8::1");
        check("fd00::1", &["2001:db8::1"], "2001:db8::1");
        check("10.0.0.1", &["::ffff:203.0.113.7"], "203.0.113.7");
    }

    #[test]
    fn the_nearest_proxy_tells_whether_there_was_tls() {
        let proto = |from: &str, lines: &[(&'static str, &str)]| {
            peer(from).behind(&told(lines), &proxies()).tls
        };
        assert!(proto("10.0.0.1", &[("x-forwarded-proto", "https")]));
        assert!(!proto("10.0.0.1", &[("x-forwarded-proto", "https, http")]));
        assert!(!proto("203.0.113.9", &[("x-forwarded-proto", "https")]));
        assert!(!proto(
            "10.0.0.1",
            &[("forwarded", "for=1.1.1.1;proto=https")]
        ));
    }

    proptest! {
        /// Whatever a caller puts before what the proxy appends, the proxy's word counts.
        #[test]
        fn nothing_invented_is_believed(invented in "[ -~]{0,60}", split: bool) {
            let lines = if split {
                told(&[("x-forwarded-for", &invented), ("x-forwarded-for", "203.0.113.7")])
            } else {
                told(&[("x-forwarded-for", &format!("{invented}, 203.0.113.7"))])
            };
            let caller = peer("10.0.0.1").behind(&lines, &proxies());
            prop_assert_eq!(caller.address.to_string(), "203.0.113.7");
        }

        #[test]
        fn any_header_is_taken(text in "[ -~]{0,80}") {
            let _ = peer("10.0.0.1").behind(&told(&[("x-forwarded-for", &text)]), &proxies());
        }
    }

    /// Lines of headers that a caller sends, and what the proxy appends.
    #[test]
    fn fuzz_forwarded() {
        let words = [
            "10.0.0.1",
            "::ffff:",
            "[",
            "]",
            ":80",
            ",",
            "\n",
            "https",
            "unknown",
            "127.0.0.1",
            "fd00::1",
        ];
        Target::new("forwarded").words(&words).run(|bytes| {
            let mut headers = HeaderMap::new();
            for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
                let value = axum::http::HeaderValue::from_bytes(line).ok()?;
                let name = if number % 4 == 3 {
                    FORWARDED_PROTO
                } else {
                    FORWARDED_FOR
                };
                headers.append(name, value);
            }
            let stranger = peer("203.0.113.9");
            assert_eq!(stranger.behind(&headers, &proxies()), stranger);
            let told = peer("10.0.0.1").behind(&headers, &proxies());
            assert_eq!(told.address, told.address.to_canonical());
            assert_eq!(
                one_network(one_network(told.address)),
                one_network(told.address)
            );
            headers.append(FORWARDED_FOR, "203.0.113.7".parse().unwrap());
            let caller = peer("10.0.0.1").behind(&headers, &proxies());
            assert_eq!(caller.address.to_string(), "203.0.113.7");
            Some((told.address.is_ipv6(), told.is_among(&proxies()), told.tls))
        });
    }
}
