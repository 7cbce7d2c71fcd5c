"""Builds remote-write requests byte by byte: an encoder that shares no code with the service."""
import struct


def varint(value):
    value &= (1 << 64) - 1
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def zigzag(value):
    return varint(value << 1 if value >= 0 else (-value << 1) - 1)


def field(number, payload):
    """A length-delimited field."""
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def integer(number, value):
    return varint(number << 3) + varint(value)


def double(number, value):
    return varint(number << 3 | 1) + struct.pack("<d", value)


def snappy(raw):
    """The snappy block format with literals only: valid, but not compressed."""
    out = varint(len(raw))
    for at in range(0, len(raw), 60):
        piece = raw[at:at + 60]
        out += bytes([(len(piece) - 1) << 2]) + piece
    return out


def series_v1(**labels):
    """A TimeSeries of remote write 1.0 with one sample, its labels sorted."""
    body = b"".join(field(1, field(1, k.encode()) + field(2, v.encode())) for k, v in sorted(labels.items()))
    return field(1, body + field(2, double(1, 1.0) + integer(2, 1)))


def histogram(positive=True, negative=True, zero=True, custom=False, count=None):
    """A native histogram as the specification's examples have it; `count` overrides the true one."""
    parts, true_count = b"", 0
    if positive and not custom:
        parts += b"".join(field(11, zigzag_span(*span)) for span in ((0, 3), (2, 2)))
        parts += field(12, b"".join(map(zigzag, (1, 2, 1, 3, 1))))
        true_count += 23
    if negative:
        parts += field(8, zigzag_span(0, 2)) + field(9, b"".join(map(zigzag, (1, 1))))
        true_count += 3
    if zero:
        parts += integer(6, 1)
        true_count += 1
    if custom:
        parts += varint(4 << 3) + zigzag(-53) + field(16, struct.pack("<6d", 0.1, 0.5, 1, 2.5, 5, 10))
        parts += field(11, zigzag_span(0, 6)) + field(12, b"".join(map(zigzag, (2, 1, 2, 3, -1, -2))))
        true_count = 30
    return integer(1, true_count if count is None else count) + double(3, 1.0) + integer(15, 1000) + parts


def zigzag_span(offset, length):
    return varint(1 << 3) + zigzag(offset) + integer(2, length)


class RequestV2:
    """A remote write 2.0 request; `labels` is a dict, written in its order, which may be unsorted."""

    def __init__(self):
        self.symbols, self.series = [""], []

    def ref(self, text):
        if text not in self.symbols:
            self.symbols.append(text)
        return self.symbols.index(text)

    def refs(self, labels):
        return b"".join(varint(self.ref(text)) for pair in labels.items() for text in pair)

    def add(self, labels, samples=(), histograms=(), exemplars=(), metadata=None, start_timestamp=0):
        body = field(1, self.refs(labels))
        body += b"".join(field(2, double(1, value) + integer(2, 1000) + (integer(3, start_timestamp) if start_timestamp else b""))
                         for value in samples)
        body += b"".join(field(3, one) for one in histograms)
        body += b"".join(field(4, field(1, self.refs(one)) + double(2, 1.0) + integer(3, 1000)) for one in exemplars)
        if metadata:
            kind, help_text, unit = metadata
            body += field(5, integer(1, kind) + integer(3, self.ref(help_text)) + integer(4, self.ref(unit)))
        self.series.append(field(5, body))
        return self

    def body(self):
        return snappy(b"".join(field(4, s.encode()) for s in self.symbols) + b"".join(self.series))
