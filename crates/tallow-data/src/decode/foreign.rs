//! Image formats that are not read, told by their first bytes or by their extension, so that an error can name them.

use std::path::Path;

/// How to make a file readable.
pub(super) const CONVERT: &str =
    "convert the file to PNG or JPEG: `magick FILE FILE.png`, or Pillow's Image.open(FILE).save(FILE.png)";

/// A format: its name in the plural, the position and the bytes that tell it, and its extensions.
struct Foreign {
    name: &'static str,
    signatures: &'static [(usize, &'static [u8])],
    extensions: &'static [&'static str],
}

const FOREIGN: &[Foreign] = &[
    Foreign { name: "AVIF files", signatures: &[(4, b"ftypavif"), (4, b"ftypavis")], extensions: &["avif", "avifs"] },
    Foreign {
        name: "HEIC files",
        signatures: &[
            (4, b"ftypheic"),
            (4, b"ftypheix"),
            (4, b"ftyphevc"),
            (4, b"ftypheim"),
            (4, b"ftypmif1"),
            (4, b"ftypmsf1"),
        ],
        extensions: &["heic", "heif", "hif"],
    },
    Foreign {
        name: "JPEG XL files",
        signatures: &[(0, b"\xff\x0a"), (0, b"\0\0\0\x0cJXL \r\n\x87\n")],
        extensions: &["jxl"],
    },
    Foreign {
        name: "JPEG 2000 files",
        signatures: &[(0, b"\0\0\0\x0cjP  \r\n\x87\n"), (0, b"\xff\x4f\xff\x51")],
        extensions: &["jp2", "j2k", "jpx", "jpf"],
    },
    Foreign { name: "DICOM files", signatures: &[(128, b"DICM")], extensions: &["dcm", "dicom"] },
    Foreign { name: "Photoshop files", signatures: &[(0, b"8BPS")], extensions: &["psd", "psb"] },
    Foreign { name: "OpenEXR files", signatures: &[(0, b"\x76\x2f\x31\x01")], extensions: &["exr"] },
    Foreign {
        name: "Radiance HDR files",
        signatures: &[(0, b"#?RADIANCE"), (0, b"#?RGBE")],
        extensions: &["hdr", "rgbe"],
    },
    Foreign { name: "QOI files", signatures: &[(0, b"qoif")], extensions: &["qoi"] },
    Foreign {
        name: "PNM files",
        signatures: &[(0, b"P1\n"), (0, b"P2\n"), (0, b"P3\n"), (0, b"P4\n"), (0, b"P5\n"), (0, b"P6\n"), (0, b"P7\n")],
        extensions: &["pbm", "pgm", "ppm", "pnm", "pam"],
    },
    Foreign { name: "icons", signatures: &[(0, b"\0\0\x01\0")], extensions: &["ico"] },
    Foreign { name: "DDS files", signatures: &[(0, b"DDS ")], extensions: &["dds"] },
    Foreign { name: "FITS files", signatures: &[(0, b"SIMPLE  =")], extensions: &["fits", "fit"] },
    Foreign { name: "NumPy arrays", signatures: &[(0, b"\x93NUMPY")], extensions: &["npy", "npz"] },
    Foreign { name: "SVG files", signatures: &[(0, b"<svg")], extensions: &["svg", "svgz"] },
    Foreign { name: "Targa files", signatures: &[], extensions: &["tga"] },
    // A raw photo may begin as a TIFF file, whose first image is a small preview.
    Foreign {
        name: "raw photos",
        signatures: &[(8, b"CR\x02\0"), (4, b"ftypcrx"), (0, b"FUJIFILMCCD-RAW")],
        extensions: &["cr2", "cr3", "nef", "arw", "dng", "raf", "orf", "rw2"],
    },
];

/// The name of the format that the first bytes tell, in the plural.
pub(super) fn format_of(bytes: &[u8]) -> Option<&'static str> {
    let is = |(at, signature): &(usize, &[u8])| bytes.get(*at..).is_some_and(|rest| rest.starts_with(signature));
    FOREIGN.iter().find(|format| format.signatures.iter().any(is)).map(|format| format.name)
}

/// Whether the file name has the extension of an image format that is not read.
pub(crate) fn has_foreign_extension(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|found| {
        FOREIGN.iter().flat_map(|format| format.extensions).any(|known| known.eq_ignore_ascii_case(found))
    })
}
