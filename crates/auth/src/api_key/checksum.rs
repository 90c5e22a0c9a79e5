/// CRC-32 as in ISO 3309, over `bytes`: finds every burst of errors of up to 32 bits, which is what typing and copying make. It is no
/// secret and proves nothing.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            let carry = crc & 1;
            crc = (crc >> 1) ^ (carry * POLYNOMIAL);
        }
    }
    !crc
}

/// x³² + x²⁶ + x²³ + … + 1, the lowest bit first.
const POLYNOMIAL: u32 = 0xEDB8_8320;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_of_the_standard_is_met() {
        // The value that catalogues of CRCs give for CRC-32/ISO-HDLC.
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(crc32(b""), 0);
    }
}
