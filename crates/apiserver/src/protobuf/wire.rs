//! Pure: the wire format of protobuf: numbered fields, each a number or some bytes.

use crate::protobuf::ProtobufError;

/// The contents of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

impl<'a> Wire<'a> {
    pub(super) fn bytes(self) -> Result<&'a [u8], ProtobufError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(ProtobufError::Malformed("a number stands where bytes are due")),
        }
    }

    pub(super) fn varint(self) -> Result<u64, ProtobufError> {
        match self {
            Self::Varint(number) => Ok(number),
            _ => Err(ProtobufError::Malformed("a field is no whole number")),
        }
    }

    pub(super) fn int64(self) -> Result<i64, ProtobufError> {
        Ok(self.varint()?.cast_signed())
    }

    #[expect(clippy::cast_possible_truncation, reason = "protobuf cuts numbers that are too large")]
    pub(super) fn int32(self) -> Result<i32, ProtobufError> {
        Ok(self.int64()? as i32)
    }

    pub(super) fn double(self) -> Result<f64, ProtobufError> {
        match self {
            Self::Fixed64(bits) => Ok(f64::from_bits(bits)),
            Self::Fixed32(bits) => Ok(f64::from(f32::from_bits(bits))),
            _ => Err(ProtobufError::Malformed("a field is no floating-point number")),
        }
    }
}

/// Reads the fields of a message in their order.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Returns the next field with its number, nothing at the end.
    pub(super) fn next(&mut self) -> Result<Option<(u32, Wire<'a>)>, ProtobufError> {
        let Some(tag) = self.varint_if_any()? else { return Ok(None) };
        let number = u32::try_from(tag >> 3)
            .map_err(|_| ProtobufError::Malformed("a field number is out of range"))?;
        let wire = match tag & 7 {
            0 => Wire::Varint(self.varint()?),
            1 => Wire::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let length = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
                Wire::Bytes(self.take(length)?)
            }
            5 => Wire::Fixed32(u32::from_le_bytes(self.array()?)),
            _ => return Err(ProtobufError::Malformed("a wire type is unknown")),
        };
        Ok(Some((number, wire)))
    }

    /// Returns the next bare number, nothing at the end.
    pub(super) fn varint_if_any(&mut self) -> Result<Option<u64>, ProtobufError> {
        if self.rest.is_empty() { Ok(None) } else { self.varint().map(Some) }
    }

    fn varint(&mut self) -> Result<u64, ProtobufError> {
        let mut number = 0_u64;
        for shift in (0..70).step_by(7) {
            let [byte] = self.array()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(ProtobufError::Malformed("a number is too long"))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ProtobufError> {
        let bytes = self.take(N)?;
        bytes.try_into().map_err(|_| ProtobufError::Malformed("the bytes are cut short"))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], ProtobufError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(ProtobufError::Malformed("the bytes are cut short"))?;
        self.rest = rest;
        Ok(taken)
    }
}
