package source

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// decoder reads Services and EndpointSlices from protobuf, and of them only what Fairlead uses. The generated
// code reads all there is, one allocation for each string and pointer, which at a cold start with many Services
// costs more than anything else that the daemon does.
//
// Objects keep nothing of the input. They do share values with each other: names that repeat, whatever is
// behind a pointer, and hints. Nobody may write to those, as nobody may to the objects in a cache.
//
// A decoder is for one goroutine, such as that of one watch. So there is no lock in it.
type decoder struct {
	names   map[string]*string                    // that were seen already
	numbers map[int32]*int32                      // likewise
	hints   map[string]*discoveryv1.EndpointHints // likewise, by their serialized form
	yes, no *bool

	pending   []pending // strings of the object at hand that are yet to be copied
	addresses []string  // room for those of all endpoints of the slice at hand
}

// pending is a string that is to be copied out of the input.
type pending struct {
	into *string
	from []byte
}

// mostShared is how many values of a kind a decoder remembers: more than there are nodes in a cluster, and so few
// that it does no harm if every value is new.
const mostShared = 1 << 14

func newDecoder() *decoder {
	yes, no := true, false
	return &decoder{
		names:   make(map[string]*string),
		numbers: make(map[int32]*int32),
		hints:   make(map[string]*discoveryv1.EndpointHints),
		yes:     &yes, no: &no,
	}
}

// shared returns the one copy of a string that is likely to come again: a node's, port's or namespace's name, or
// one of few words such as a protocol.
func (d *decoder) shared(text []byte) *string {
	if known := d.names[string(text)]; known != nil {
		return known
	}
	if len(d.names) >= mostShared {
		clear(d.names)
	}
	name := string(text)
	d.names[name] = &name
	return &name
}

func (d *decoder) name(text []byte) string { return *d.shared(text) }

// number returns a pointer to the number, the same one whenever it can.
func (d *decoder) number(n int32) *int32 {
	if known := d.numbers[n]; known != nil {
		return known
	}
	if len(d.numbers) >= mostShared {
		clear(d.numbers)
	}
	fresh := n // n itself would be on the heap whether it is known or not
	d.numbers[n] = &fresh
	return &fresh
}

func (d *decoder) flag(value uint64) *bool {
	if value != 0 {
		return d.yes
	}
	return d.no
}

// later has the string set by settle, from what is likely not to come again.
func (d *decoder) later(into *string, from []byte) {
	d.pending = append(d.pending, pending{into, from})
}

// settle copies all that is pending at one stroke: one allocation, however many strings. They are freed together,
// too, so what outlives the rest of an object is better settled apart.
func (d *decoder) settle() {
	size := 0
	for _, p := range d.pending {
		size += len(p.from)
	}
	var all strings.Builder
	all.Grow(size)
	for _, p := range d.pending {
		all.Write(p.from)
	}
	text := all.String()
	for _, p := range d.pending {
		*p.into, text = text[:len(p.from)], text[len(p.from):]
	}
	clear(d.pending) // do not hold on to the object and the input
	d.pending = d.pending[:0]
}

// roomFor makes room for the field that m is at in a list of them. A new list is where there is room to spare, if
// it fits. If another one moves, what is pending for it is settled before.
func roomFor[T any](d *decoder, list []T, m *message, spare []T) []T {
	if len(list) < cap(list) {
		return list
	}
	more := m.run()
	switch {
	case list != nil:
		d.settle()
	case more <= cap(spare):
		return spare[:0:more]
	default:
		return make([]T, 0, more)
	}
	return append(list, make([]T, more)...)[:len(list)]
}

// addText adds the field that m is at to a list of strings.
func (d *decoder) addText(list []string, m *message, spare []string) []string {
	list = append(roomFor(d, list, m, spare), "")
	d.later(&list[len(list)-1], m.bytes())
	return list
}

// keep is what is kept of the metadata of one kind of objects only.
type keep struct {
	label string
	uid   bool
}

// metadata reads ObjectMeta (k8s.io/apimachinery/pkg/apis/meta/v1/generated.proto has the numbers of the fields).
func (d *decoder) metadata(meta *metav1.ObjectMeta, data []byte, keep keep) error {
	m := message{data: data}
	for m.next() {
		switch m.num {
		case 1:
			d.later(&meta.Name, m.bytes())
		case 3:
			meta.Namespace = d.name(m.bytes())
		case 5:
			if keep.uid {
				d.later((*string)(&meta.UID), m.bytes())
			}
		case 6:
			d.later(&meta.ResourceVersion, m.bytes())
		case 8:
			m.within("creationTimestamp", readTime(&meta.CreationTimestamp, m.bytes()))
		case 9:
			if meta.DeletionTimestamp == nil {
				meta.DeletionTimestamp = new(metav1.Time)
			}
			m.within("deletionTimestamp", readTime(meta.DeletionTimestamp, m.bytes()))
		case 11:
			m.within("labels", d.entry(&meta.Labels, m.bytes(), func(key []byte) bool { return string(key) == keep.label }))
		case 12:
			m.within("annotations", d.entry(&meta.Annotations, m.bytes(), KeepsAnnotation))
		}
	}
	return m.err
}

// KeepsAnnotation reports whether anybody reads an annotation. Reflectors read the one that tells them that the first
// objects have all come.
func KeepsAnnotation(key []byte) bool {
	switch string(key) {
	case corev1.EndpointsLastChangeTriggerTime, metav1.InitialEventsAnnotationKey:
		return true
	}
	return bytes.HasPrefix(key, []byte("fairlead.io/"))
}

// entry reads one entry of a map, and adds it if it is to be kept.
func (d *decoder) entry(to *map[string]string, data []byte, kept func([]byte) bool) error {
	m := message{data: data}
	var key, value []byte
	for m.next() {
		switch m.num {
		case 1:
			key = m.bytes()
		case 2:
			value = m.bytes()
		}
	}
	if m.err != nil {
		return fmt.Errorf("entry: %w", m.err)
	}
	if kept(key) {
		if *to == nil {
			*to = make(map[string]string)
		}
		(*to)[d.name(key)] = string(value)
	}
	return nil
}

// readTime reads a Time as Kubernetes does: seconds only, and nothing at all for the zero Time.
func readTime(to *metav1.Time, data []byte) error {
	m := message{data: data}
	var seconds int64
	for m.next() {
		if m.num == 1 {
			seconds = int64(m.varint())
		}
	}
	if to.Time = time.Unix(seconds, 0).Local(); len(data) == 0 {
		to.Time = time.Time{}
	}
	return m.err
}
