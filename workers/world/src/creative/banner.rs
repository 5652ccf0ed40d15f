//! Banners: 96 by 96 pixels in sixteen colours, as PNG files without compression.

use super::Style;

const SIDE: usize = 96;
const TEXT: u8 = 3;

/// Five columns of seven bits, the lowest bit on top.
fn glyph(c: char) -> [u8; 5] {
    const LETTERS: [[u8; 5]; 26] = [
        [0x7e, 0x11, 0x11, 0x11, 0x7e],
        [0x7f, 0x49, 0x49, 0x49, 0x36],
        [0x3e, 0x41, 0x41, 0x41, 0x22],
        [0x7f, 0x41, 0x41, 0x22, 0x1c],
        [0x7f, 0x49, 0x49, 0x49, 0x41],
        [0x7f, 0x09, 0x09, 0x09, 0x01],
        [0x3e, 0x41, 0x49, 0x49, 0x7a],
        [0x7f, 0x08, 0x08, 0x08, 0x7f],
        [0x00, 0x41, 0x7f, 0x41, 0x00],
        [0x20, 0x40, 0x41, 0x3f, 0x01],
        [0x7f, 0x08, 0x14, 0x22, 0x41],
        [0x7f, 0x40, 0x40, 0x40, 0x40],
        [0x7f, 0x02, 0x0c, 0x02, 0x7f],
        [0x7f, 0x04, 0x08, 0x10, 0x7f],
        [0x3e, 0x41, 0x41, 0x41, 0x3e],
        [0x7f, 0x09, 0x09, 0x09, 0x06],
        [0x3e, 0x41, 0x51, 0x21, 0x5e],
        [0x7f, 0x09, 0x19, 0x29, 0x46],
        [0x46, 0x49, 0x49, 0x49, 0x31],
        [0x01, 0x01, 0x7f, 0x01, 0x01],
        [0x3f, 0x40, 0x40, 0x40, 0x3f],
        [0x1f, 0x20, 0x40, 0x20, 0x1f],
        [0x3f, 0x40, 0x38, 0x40, 0x3f],
        [0x63, 0x14, 0x08, 0x14, 0x63],
        [0x07, 0x08, 0x70, 0x08, 0x07],
        [0x61, 0x51, 0x49, 0x45, 0x43],
    ];
    match c.to_ascii_uppercase() {
        c @ 'A'..='Z' => LETTERS[c as usize - 'A' as usize],
        _ => [0; 5],
    }
}

/// The banner of a brand for a product; `variant` moves its parts.
pub(super) fn png(style: &Style, brand: &str, product: &str, variant: usize) -> Vec<u8> {
    let mut pixels = vec![0u8; SIDE * SIDE];
    paint(style.layout, variant, product, &mut pixels);
    let text_at = if style.layout.is_multiple_of(2) { 72 } else { 8 };
    write(&mut pixels, brand.split(' ').next().unwrap_or_default(), 6, text_at, 2);
    write(&mut pixels, product, 6, text_at + 16, 1);
    let mut palette: Vec<[u8; 3]> = style.colours.to_vec();
    // The product's own three shades: the same thing looks alike at every brand.
    let tone = product.bytes().fold(0usize, |n, b| n * 31 + usize::from(b));
    for i in 0..3 {
        let shade = |k: usize| (60 + (tone >> (k * 7 + i)) % 180) as u8;
        palette.push([shade(0), shade(1), shade(2)]);
    }
    palette.resize(16, [255, 255, 255]);
    encode(&pixels, &palette)
}

fn paint(layout: usize, variant: usize, product: &str, pixels: &mut [u8]) {
    let kind = product.bytes().fold(0usize, |n, b| n * 17 + usize::from(b)) % 5;
    let (cx, cy) = (34 + variant % 28, 36 + variant / 28 % 20);
    let size = 14 + variant % 9;
    for y in 0..SIDE {
        for x in 0..SIDE {
            let second = match layout {
                0 => y > 66,
                1 => x + y > 100,
                2 => (y / 12) % 2 == 1,
                3 => x < 30,
                4 => y < 28,
                5 => (x / 16 + y / 16) % 2 == 1,
                6 => x > y,
                _ => !(10..86).contains(&x) || !(10..86).contains(&y),
            };
            let (dx, dy) = (x.abs_diff(cx), y.abs_diff(cy));
            let thing = match kind {
                0 => dx * dx + dy * dy < size * size,
                1 => dx < size && dy < size * 2 / 3,
                2 => dx + dy < size,
                3 => y + size > cy && y < cy + size && dx * 2 < y + size - cy,
                _ => dx < size && dy < size && (dx < 5 || dy < 5),
            };
            let inner = dx * dx + dy * dy < size * size / 6;
            pixels[y * SIDE + x] = match (thing, inner, second) {
                (true, true, _) => 5,
                (true, false, _) => 4 + 2 * u8::from(dx > dy),
                (false, _, true) => 1,
                (false, _, false) => 0,
            };
            if (x + 2 * y + variant) % 96 < 3 && !thing {
                pixels[y * SIDE + x] = 2;
            }
        }
    }
}

fn write(pixels: &mut [u8], text: &str, left: usize, top: usize, scale: usize) {
    for (n, c) in text.chars().enumerate() {
        for (column, bits) in glyph(c).iter().enumerate() {
            for row in (0..7).filter(|r| bits >> r & 1 == 1) {
                for i in 0..scale * scale {
                    let x = left + (n * 6 + column) * scale + i % scale;
                    let y = top + row * scale + i / scale;
                    if x < SIDE && y < SIDE {
                        pixels[y * SIDE + x] = TEXT;
                    }
                }
            }
        }
    }
}

/// PNG (ISO/IEC 15948): four bits a pixel, one stored block.
fn encode(pixels: &[u8], palette: &[[u8; 3]]) -> Vec<u8> {
    let mut raw = Vec::with_capacity(SIDE * (SIDE / 2 + 1));
    for line in pixels.chunks(SIDE) {
        raw.push(0);
        raw.extend(line.chunks(2).map(|p| p[0] << 4 | p[1]));
    }
    let mut data = vec![0x78, 0x01, 1];
    let length = raw.len() as u16;
    data.extend(length.to_le_bytes());
    data.extend((!length).to_le_bytes());
    data.extend(&raw);
    data.extend(adler(&raw).to_be_bytes());
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut header = (SIDE as u32).to_be_bytes().to_vec();
    header.extend((SIDE as u32).to_be_bytes());
    header.extend([4, 3, 0, 0, 0]);
    chunk(&mut file, b"IHDR", &header);
    chunk(&mut file, b"PLTE", &palette.concat());
    chunk(&mut file, b"IDAT", &data);
    chunk(&mut file, b"IEND", &[]);
    file
}

fn chunk(file: &mut Vec<u8>, name: &[u8; 4], data: &[u8]) {
    file.extend((data.len() as u32).to_be_bytes());
    let from = file.len();
    file.extend(name);
    file.extend(data);
    let crc = crc(&file[from..]);
    file.extend(crc.to_be_bytes());
}

fn adler(data: &[u8]) -> u32 {
    let (a, b) = data.iter().fold((1u32, 0u32), |(a, b), x| {
        let a = (a + u32::from(*x)) % 65_521;
        (a, (b + a) % 65_521)
    });
    b << 16 | a
}

fn crc(data: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        let mut x = (crc ^ u32::from(*byte)) & 0xff;
        for _ in 0..8 {
            x = if x & 1 == 1 { 0xedb8_8320 ^ (x >> 1) } else { x >> 1 };
        }
        (crc >> 8) ^ x
    };
    !data.iter().fold(!0u32, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_standards() {
        assert_eq!(crc(b"123456789"), 0xcbf4_3926);
        assert_eq!(adler(b"Wikipedia"), 0x11e6_0398);
    }
}
