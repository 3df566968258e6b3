package source

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// roomySlice has room for one port, which is what most have.
type roomySlice struct {
	discoveryv1.EndpointSlice
	port [1]discoveryv1.EndpointPort
}

// decodeEndpointSlice reads what Fairlead uses of a serialized EndpointSlice (k8s.io/api/discovery/v1/generated.proto
// has the numbers of the fields, here and below). That is the Raw of a runtime.Unknown.
func (d *decoder) decodeEndpointSlice(data []byte) (*discoveryv1.EndpointSlice, error) {
	slice := new(roomySlice)
	err := d.endpointSlice(slice, data)
	d.settle()
	d.addresses = nil
	if err != nil {
		return nil, fmt.Errorf("read an EndpointSlice: %w", err)
	}
	return &slice.EndpointSlice, nil
}

func (d *decoder) endpointSlice(slice *roomySlice, data []byte) error {
	m := message{data: data}
	for m.next() {
		switch m.num {
		case 1:
			m.within("metadata", d.metadata(&slice.ObjectMeta, m.bytes(), keep{label: discoveryv1.LabelServiceName}))
			d.settle() // the controller keeps the version, and should not keep the text of all addresses by it
		case 2:
			before := cap(slice.Endpoints)
			slice.Endpoints = append(roomFor(d, slice.Endpoints, &m, nil), discoveryv1.Endpoint{})
			if more := cap(slice.Endpoints) - before; more > 0 {
				d.addresses = make([]string, 0, more)
			}
			m.within("endpoints", d.endpoint(&slice.Endpoints[len(slice.Endpoints)-1], m.bytes()))
		case 3:
			slice.Ports = append(roomFor(d, slice.Ports, &m, slice.port[:]), discoveryv1.EndpointPort{})
			m.within("ports", d.endpointPort(&slice.Ports[len(slice.Ports)-1], m.bytes()))
		case 4:
			slice.AddressType = discoveryv1.AddressType(d.name(m.bytes()))
		}
	}
	return m.err
}

func (d *decoder) endpoint(e *discoveryv1.Endpoint, data []byte) error {
	m := message{data: data}
	for m.next() {
		switch m.num {
		case 1:
			if e.Addresses == nil {
				e.Addresses = d.roomForAddresses(m.run())
			}
			e.Addresses = d.addText(e.Addresses, &m, nil)
		case 2:
			m.within("conditions", d.conditions(&e.Conditions, m.bytes()))
		case 6:
			e.NodeName = d.shared(m.bytes())
		case 8:
			m.within("hints", d.addHints(e, m.bytes()))
		}
	}
	return m.err
}

// roomForAddresses returns room for n addresses of one endpoint. All endpoints of a slice have it in one piece, as
// long as they have one address each, which is what they do have.
func (d *decoder) roomForAddresses(n int) []string {
	used := len(d.addresses)
	if n > cap(d.addresses)-used {
		return nil
	}
	d.addresses = d.addresses[:used+n]
	return d.addresses[used:used:len(d.addresses)]
}

func (d *decoder) conditions(c *discoveryv1.EndpointConditions, data []byte) error {
	m := message{data: data}
	for m.next() {
		switch m.num {
		case 1:
			c.Ready = d.flag(m.varint())
		case 2:
			c.Serving = d.flag(m.varint())
		case 3:
			c.Terminating = d.flag(m.varint())
		}
	}
	return m.err
}

// addHints reads hints. There are about as many different ones as there are zones or nodes, so those that were seen
// before are not read again.
func (d *decoder) addHints(e *discoveryv1.Endpoint, data []byte) error {
	if e.Hints != nil { // the field is there twice: both count
		e.Hints = e.Hints.DeepCopy()
		return d.readHints(e.Hints, data)
	}
	if e.Hints = d.hints[string(data)]; e.Hints != nil {
		return nil
	}
	e.Hints = new(discoveryv1.EndpointHints)
	if err := d.readHints(e.Hints, data); err != nil {
		return err
	}
	if len(d.hints) >= mostShared {
		clear(d.hints)
	}
	d.hints[string(data)] = e.Hints
	return nil
}

func (d *decoder) readHints(hints *discoveryv1.EndpointHints, data []byte) error {
	m := message{data: data}
	for m.next() {
		switch m.num {
		case 1:
			zone, err := d.hintedName(m.bytes())
			hints.ForZones = append(roomFor(d, hints.ForZones, &m, nil), discoveryv1.ForZone{Name: zone})
			m.within("forZones", err)
		case 2:
			node, err := d.hintedName(m.bytes())
			hints.ForNodes = append(roomFor(d, hints.ForNodes, &m, nil), discoveryv1.ForNode{Name: node})
			m.within("forNodes", err)
		}
	}
	return m.err
}

// hintedName reads a ForZone or a ForNode, which are the same in all but name.
func (d *decoder) hintedName(data []byte) (name string, err error) {
	m := message{data: data}
	for m.next() {
		if m.num == 1 {
			name = d.name(m.bytes())
		}
	}
	return name, m.err
}

func (d *decoder) endpointPort(port *discoveryv1.EndpointPort, data []byte) error {
	m := message{data: data}
	for m.next() {
		switch m.num {
		case 1:
			port.Name = d.shared(m.bytes())
		case 2:
			port.Protocol = (*corev1.Protocol)(d.shared(m.bytes()))
		case 3:
			port.Port = d.number(m.int32())
		}
	}
	return m.err
}
