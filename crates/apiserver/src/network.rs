//! Pure: the networks that Services, pods and node ports take their numbers from.

use std::{fmt, net::Ipv4Addr, ops::RangeInclusive, str::FromStr};

use thiserror::Error;

/// What addresses and ports are given out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Networks {
    /// The addresses of Services.
    pub services: Cidr,
    /// The addresses of pods.
    pub pods: Cidr,
    /// The ports of nodes that Services get.
    pub node_ports: RangeInclusive<u16>,
}

/// A network of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    first: Ipv4Addr,
    prefix: u32,
}

/// Why a text names no network, or none that can be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NetworkError {
    /// It has another form.
    #[error("`{0}` is not of the form `A.B.C.D/BITS`")]
    Form(String),
    /// It has too few addresses, or too many.
    #[error("`{0}` does not have between 8 and 65,536 addresses")]
    Size(String),
    /// It is no range of ports.
    #[error("`{0}` is not of the form `FIRST-LAST`")]
    Ports(String),
}

impl Default for Networks {
    fn default() -> Self {
        let cidr = |second| Cidr { first: Ipv4Addr::new(10, second, 0, 0), prefix: 16 };
        Self { services: cidr(96), pods: cidr(244), node_ports: 30_000..=32_767 }
    }
}

impl Cidr {
    /// Returns the address of this number, counted from the first of the network.
    pub(crate) fn address(self, number: u16) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.first.to_bits() + u32::from(number))
    }

    /// Returns the number of an address in the network.
    pub(crate) fn number(self, address: Ipv4Addr) -> Option<u16> {
        let number = address.to_bits().checked_sub(self.first.to_bits())?;
        u16::try_from(number).ok().filter(|number| *number <= self.last())
    }

    /// Returns the number of the last address, which is never given out.
    pub(crate) fn last(self) -> u16 {
        let bits = 32 - self.prefix;
        u16::try_from((1_u64 << bits) - 1).unwrap_or(u16::MAX)
    }
}

impl FromStr for Cidr {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let form = || NetworkError::Form(text.to_owned());
        let (address, prefix) = text.split_once('/').ok_or_else(form)?;
        let address: Ipv4Addr = address.parse().map_err(|_| form())?;
        let prefix: u32 = prefix.parse().map_err(|_| form())?;
        // The numbers of addresses have 16 bits, and a network without a few to spare is of no use.
        if !(16..=29).contains(&prefix) {
            return Err(NetworkError::Size(text.to_owned()));
        }
        let first = address.to_bits() >> (32 - prefix) << (32 - prefix);
        Ok(Self { first: Ipv4Addr::from_bits(first), prefix })
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

/// Reads a range of ports such as `30000-32767`.
///
/// # Errors
///
/// [`NetworkError::Ports`] if it is none.
pub fn parse_ports(text: &str) -> Result<RangeInclusive<u16>, NetworkError> {
    let range = || {
        let (first, last) = text.split_once('-')?;
        let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
        (0 < first && first <= last).then_some(first..=last)
    };
    range().ok_or_else(|| NetworkError::Ports(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_numbers_its_addresses() {
        let cidr: Cidr = "10.1.2.9/24".parse().unwrap();
        assert_eq!(cidr.to_string(), "10.1.2.0/24");
        assert_eq!(cidr.address(7).to_string(), "10.1.2.7");
        assert_eq!(cidr.last(), 255);
        for (address, number) in [("10.1.2.7", Some(7)), ("10.1.3.0", None), ("10.1.1.255", None)] {
            assert_eq!(cidr.number(address.parse().unwrap()), number, "{address}");
        }
        assert_eq!(Networks::default().pods.last(), u16::MAX);
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in ["", "10.0.0.0", "10.0.0/16", "10.0.0.0/x", "::/64"] {
            assert_eq!(text.parse::<Cidr>(), Err(NetworkError::Form(text.to_owned())));
        }
        for text in ["10.0.0.0/8", "10.0.0.0/30", "10.0.0.0/0", "10.0.0.0/99"] {
            assert_eq!(text.parse::<Cidr>(), Err(NetworkError::Size(text.to_owned())));
        }
        assert_eq!(parse_ports("30000-30010"), Ok(30_000..=30_010));
        for text in ["", "1", "2-1", "0-1", "1-99999"] {
            assert_eq!(parse_ports(text), Err(NetworkError::Ports(text.to_owned())));
        }
    }
}
