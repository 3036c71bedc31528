//! ApiVersions, version 0: what a broker serves. The request has no body.

use super::super::api::Api;
use super::super::bytes::{Garbled, Reader};
use super::super::code::ErrorCode;

/// Versions of one kind of request: key, first, last.
pub(in crate::kafka) type Served = (i16, i16, i16);

/// What the broker serves.
pub(in crate::kafka) fn read(reader: &mut Reader<'_>) -> Result<(ErrorCode, Vec<Served>), Garbled> {
    let code = ErrorCode(reader.i16()?);
    let served = reader.array(|reader| Ok((reader.i16()?, reader.i16()?, reader.i16()?)))?;
    Ok((code, served))
}

/// The first of the `needed` requests that this broker does not serve in our version, and what it serves instead.
pub(in crate::kafka) fn missing(
    needed: &[&'static Api],
    served: &[Served],
) -> Option<(&'static Api, String)> {
    needed.iter().copied().find_map(|api| match served.iter().find(|(key, ..)| *key == api.key) {
        None => Some((api, "no version".to_owned())),
        Some((_, first, last)) if (first..=last).contains(&&api.version) => None,
        Some((_, first, last)) => Some((api, format!("versions {first} to {last}"))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::wire::api::NEEDED_TO_WRITE;

    #[test]
    fn what_is_missing_is_named() {
        let bytes = b"\0\0\0\0\0\x02\0\x00\0\x03\0\x0d\0\x16\0\x00\0\x02";
        let (code, served) = read(&mut Reader::new(bytes)).unwrap();
        assert_eq!((code, &served[..]), (ErrorCode::NONE, &[(0, 3, 13), (22, 0, 2)][..]));
        let all: Vec<Served> = NEEDED_TO_WRITE.map(|api| (api.key, 0, api.version)).to_vec();
        assert_eq!(missing(&NEEDED_TO_WRITE, &all), None);
        let mut old = all.clone();
        old[3].2 = 2;
        let (api, text) = missing(&NEEDED_TO_WRITE, &old).unwrap();
        assert_eq!((api.name, text.as_str()), ("InitProducerId", "versions 0 to 2"));
        let mut young = all;
        young[0] = (0, 9, 30);
        assert_eq!(missing(&NEEDED_TO_WRITE, &young).unwrap().0.name, "Produce");
        assert_eq!(missing(&NEEDED_TO_WRITE, &[]).unwrap().1, "no version");
    }
}
