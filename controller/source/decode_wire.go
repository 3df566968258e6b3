package source

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// message reads the fields of a serialized protobuf message one after the other:
//
//	for m.next() {
//		switch m.num {
//		case 1:
//			name = m.bytes()
//		}
//	}
//	return m.err
//
// What no case asks for is skipped. A field that is asked for as what it is not is an error, as it is to the
// generated code.
//
// Within one there are offsets only, and no parts of the input: while garbage is collected, storing a pointer costs
// more than reading a field.
type message struct {
	data []byte
	err  error // the first one; next returns false from then on

	num        protowire.Number // of the field
	typ        protowire.Type
	start, end int    // where it is in data, if its type is BytesType; the next one begins at end
	value      uint64 // if its type is VarintType
}

// next goes on to the next field and reports whether there is one.
func (m *message) next() bool {
	if m.err != nil || m.end == len(m.data) {
		return false
	}
	num, typ, n := protowire.ConsumeTag(m.data[m.end:])
	if n < 0 {
		m.err = protowire.ParseError(n)
		return false
	}
	m.num, m.typ = num, typ
	m.start = m.end + n
	rest := m.data[m.start:]
	switch typ {
	case protowire.BytesType:
		var text []byte
		if text, n = protowire.ConsumeBytes(rest); n > 0 {
			m.start += n - len(text)
			n = len(text)
		}
	case protowire.VarintType:
		m.value, n = protowire.ConsumeVarint(rest)
	default:
		n = protowire.ConsumeFieldValue(num, typ, rest)
	}
	if n < 0 {
		m.err = protowire.ParseError(n)
		return false
	}
	m.end = m.start + n
	return true
}

// bytes returns what the field holds: a string, bytes or a message. They are part of the input.
func (m *message) bytes() []byte {
	if m.typ != protowire.BytesType {
		m.mistyped()
		return nil
	}
	return m.data[m.start:m.end]
}

func (m *message) varint() uint64 {
	if m.typ != protowire.VarintType {
		m.mistyped()
		return 0
	}
	return m.value
}

func (m *message) int32() int32 { return int32(m.varint()) }

func (m *message) mistyped() {
	m.within("", fmt.Errorf("field %d has wire type %d", m.num, m.typ))
}

// within notes that the field, which has that name, could not be read. The first error stays.
func (m *message) within(name string, err error) {
	switch {
	case err == nil || m.err != nil:
	case name == "":
		m.err = err
	default:
		m.err = fmt.Errorf("%s: %w", name, err)
	}
}

// run returns how many fields of this number follow each other, this one included: that is how long a list
// becomes, as lists are written in one piece.
func (m *message) run() int {
	n := 1
	for rest := m.data[m.end:]; len(rest) > 0; n++ {
		num, _, size := protowire.ConsumeField(rest)
		if size < 0 || num != m.num {
			break
		}
		rest = rest[size:]
	}
	return n
}
