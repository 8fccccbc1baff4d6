//! The segments before a JPEG's scan: size, components, tables.

use tallow_augment::Size;

use super::huffman::{self, Table};

/// What stands before the scan, of a file of the kind read here.
pub(super) struct Header<'a> {
    pub size: Size,
    /// One, or three: brightness and two of colour.
    pub components: Vec<Component>,
    pub dc: [Option<Table>; 4],
    pub ac: [Option<Table>; 4],
    /// In zigzag order.
    pub quantization: [Option<[i32; 64]>; 4],
    /// MCUs between restart markers; 0 for none.
    pub restart_interval: usize,
    /// What is inside of the segment with EXIF data.
    pub exif: Option<&'a [u8]>,
    /// From the scan's first byte to the end of the file.
    pub data: &'a [u8],
}

#[derive(Clone, Copy, Default)]
pub(super) struct Component {
    id: u8,
    /// Blocks an MCU, across and down.
    pub across: usize,
    pub down: usize,
    pub quantization: usize,
    pub dc: usize,
    pub ac: usize,
}

/// Reads up to the scan; `None` for damage and for what is not read here.
pub(super) fn read(bytes: &[u8]) -> Option<Header<'_>> {
    let mut header = Header {
        size: Size { height: 0, width: 0 },
        components: Vec::new(),
        dc: [const { None }; 4],
        ac: [const { None }; 4],
        quantization: [None; 4],
        restart_interval: 0,
        exif: None,
        data: &[],
    };
    let (mut jfif, mut adobe) = (false, None);
    let mut rest = bytes.strip_prefix(&[0xff, 0xd8])?;
    loop {
        let [0xff, marker, after @ ..] = rest else { return None };
        // Fill bytes may stand before a marker.
        if *marker == 0xff {
            rest = &rest[1..];
            continue;
        }
        let length = usize::from(u16::from_be_bytes([*after.first()?, *after.get(1)?]));
        let segment = after.get(2..length)?;
        rest = &after[length..];
        match marker {
            0xc0 | 0xc1 => frame(segment, &mut header)?,
            0xc4 => huffman_tables(segment, &mut header)?,
            0xda => {
                scan(segment, &mut header)?;
                header.data = rest;
                break;
            }
            0xdb => quantization_tables(segment, &mut header)?,
            0xdd => header.restart_interval = usize::from(u16::from_be_bytes([*segment.first()?, *segment.get(1)?])),
            0xe0 => jfif |= segment.starts_with(b"JFIF\0"),
            0xe1 if header.exif.is_none() => header.exif = segment.strip_prefix(b"Exif\0\0"),
            0xee if segment.starts_with(b"Adobe") => adobe = segment.get(11).copied(),
            0xe1..=0xef | 0xfe => {}
            // Progressive, arithmetic, lossless, or no JPEG at all.
            _ => return None,
        }
    }
    let ids: Vec<u8> = header.components.iter().map(|component| component.id).collect();
    let ycbcr = jfif || adobe.map_or(ids == [1, 2, 3], |transform| transform == 1);
    (header.components.len() == 1 || ycbcr).then_some(header)
}

fn frame(segment: &[u8], header: &mut Header<'_>) -> Option<()> {
    let [8, height0, height1, width0, width1, count @ (1 | 3), components @ ..] = segment else { return None };
    if !header.components.is_empty() {
        return None;
    }
    header.size = Size {
        height: usize::from(u16::from_be_bytes([*height0, *height1])),
        width: usize::from(u16::from_be_bytes([*width0, *width1])),
    };
    let components = components.as_chunks::<3>().0.get(..usize::from(*count))?;
    header.components = components
        .iter()
        .map(|[id, sampling, table]| Component {
            id: *id,
            across: usize::from(sampling >> 4),
            down: usize::from(sampling & 15),
            quantization: usize::from(*table),
            ..Component::default()
        })
        .collect();
    let known = match header.components.as_mut_slice() {
        [grey] => {
            // Of a single component every block is an MCU.
            (grey.across, grey.down) = (1, 1);
            true
        }
        [y, cb, cr] => {
            let one = |component: &Component| (component.across, component.down) == (1, 1);
            matches!((y.across, y.down), (1, 1) | (2, 1) | (2, 2)) && one(cb) && one(cr)
        }
        _ => false,
    };
    let sized = header.size.height > 0 && header.size.width > 0;
    (known && sized && header.components.iter().all(|component| component.quantization < 4)).then_some(())
}

fn scan(segment: &[u8], header: &mut Header<'_>) -> Option<()> {
    let (count, rest) = segment.split_first()?;
    if header.components.is_empty() || usize::from(*count) != header.components.len() {
        return None;
    }
    let (selectors, rest) = rest.split_at_checked(2 * header.components.len())?;
    for (component, [id, tables]) in header.components.iter_mut().zip(selectors.as_chunks::<2>().0) {
        (component.dc, component.ac) = (usize::from(tables >> 4), usize::from(tables & 15));
        if component.id != *id || component.dc > 3 || component.ac > 3 {
            return None;
        }
    }
    (rest == [0, 63, 0]).then_some(())
}

fn huffman_tables(mut segment: &[u8], header: &mut Header<'_>) -> Option<()> {
    while let [class, rest @ ..] = segment {
        let (counts, rest) = rest.split_first_chunk::<16>()?;
        let total: usize = counts.iter().map(|count| usize::from(*count)).sum();
        let (symbols, rest) = rest.split_at_checked(total)?;
        let (ac, slot) = (class >> 4, usize::from(class & 15));
        let tables = if ac == 0 { &mut header.dc } else { &mut header.ac };
        *tables.get_mut(slot)? = Some(huffman::table(counts, symbols, ac != 0)?);
        segment = rest;
    }
    Some(())
}

fn quantization_tables(mut segment: &[u8], header: &mut Header<'_>) -> Option<()> {
    while let [kind, rest @ ..] = segment {
        let table = header.quantization.get_mut(usize::from(kind & 15))?;
        let values;
        (values, segment) = match kind >> 4 {
            0 => {
                let (bytes, rest) = rest.split_first_chunk::<64>()?;
                (bytes.map(i32::from), rest)
            }
            1 => {
                let (bytes, rest) = rest.split_first_chunk::<128>()?;
                let pairs = bytes.as_chunks::<2>().0;
                (std::array::from_fn(|i| i32::from(u16::from_be_bytes(pairs[i]))), rest)
            }
            _ => return None,
        };
        *table = Some(values);
    }
    Some(())
}
