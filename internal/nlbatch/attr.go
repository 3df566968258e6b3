package nlbatch

import (
	"encoding/binary"
	"iter"
)

// Attributes yields the type, without its flag bits, and the value of each attribute in data. It
// stops at the first one that does not fit.
func Attributes(data []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(data) >= attrLen {
			size := int(binary.NativeEndian.Uint16(data))
			typ := binary.NativeEndian.Uint16(data[2:]) &^ (nested | netByteOrder)
			if size < attrLen || size > len(data) {
				return
			}
			if !yield(typ, data[attrLen:size]) {
				return
			}
			data = data[min((size+3)&^3, len(data)):]
		}
	}
}

// Attribute returns the value of the first attribute of the given type, or nil.
func Attribute(data []byte, want uint16) []byte {
	for typ, value := range Attributes(data) {
		if typ == want {
			return value
		}
	}
	return nil
}
