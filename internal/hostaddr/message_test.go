package hostaddr

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/fairlead-lb/fairlead/internal/nlbatch"
)

// link encodes an event of a device, which may have an alias.
func link(typ uint16, index, flags uint32, name string, alias ...string) []byte {
	header := make([]byte, linkHeaderLen)
	binary.NativeEndian.PutUint32(header[4:], index)
	binary.NativeEndian.PutUint32(header[8:], flags)
	var b nlbatch.Batch
	b.Begin(typ, 0, header...)
	b.U32(13, 1000) // IFLA_TXQLEN
	b.String(attrName, name)
	for _, text := range alias {
		b.String(attrAlias, text)
	}
	return sealed(&b)
}

// address encodes an event of an address; the other end of a point-to-point device is optional.
func address(typ uint16, index, flags uint32, addr, other string) []byte {
	header := make([]byte, addrHeaderLen)
	header[2] = byte(flags)
	binary.NativeEndian.PutUint32(header[4:], index)
	var b nlbatch.Batch
	b.Begin(typ, 0, header...)
	local := netip.MustParseAddr(addr)
	if other != "" {
		b.Data(attrAddress, netip.MustParseAddr(other).AsSlice())
		b.Data(attrLocal, local.AsSlice())
	} else {
		b.Data(attrAddress, local.AsSlice())
	}
	b.U32(attrFlags, flags)
	return sealed(&b)
}

// sealed returns the only message of a batch with its length in its header.
func sealed(b *nlbatch.Batch) []byte {
	message := bytes.Clone(b.Bytes(0))
	binary.NativeEndian.PutUint32(message, uint32(len(message)))
	return message
}

func TestWhichAddressesCount(t *testing.T) {
	const permanent, tentative, temporary, manageTemp = addrPermanent, 0x40, 0x01, 0x100
	for _, c := range []struct {
		addr, other string
		flags       uint32
		counts      bool
	}{
		{"192.168.1.7", "", permanent, true},
		{"192.168.1.7", "192.168.1.8", permanent, true},
		{"8.8.8.8", "", 0, true},
		{"fd00::7", "", permanent, true},
		{"2001:db8::7", "", tentative, true},
		{"2001:db8::7", "", temporary | manageTemp, true},
		{"2001:db8::7", "", tentative | addrDADFailed, false},
		{"2001:db8::7", "", permanent | addrDeprecated, true},
		{"2001:db8::7", "", permanent | addrDeprecated | addrDADFailed, false},
		{"2001:db8::7", "", addrDeprecated, false},
		{"192.168.1.7", "", addrDeprecated, false},
		{"127.0.0.1", "", permanent, false},
		{"::1", "", permanent, false},
		{"169.254.1.1", "", permanent, false},
		{"fe80::1", "", permanent, false},
		{"ff02::1", "", 0, false},
	} {
		for typ, payload := range messages(address(newAddr, 3, c.flags, c.addr, c.other)) {
			addr, deprecated, counts := decodeAddr(payload)
			if typ != newAddr || counts != c.counts || deprecated != (c.flags&addrDeprecated != 0) || addr.String() != c.addr || index(payload) != 3 {
				t.Errorf("%+v: %s, counts %v", c, addr, counts)
			}
		}
	}
}

func TestDevicesAreReadAsTheKernelTellsThem(t *testing.T) {
	for _, want := range []device{
		{1, "lo", "", true, true}, {2, "eth0", "", false, true}, {70000, "a-device-of-15-c", "", false, false},
	} {
		var flags uint32 = 0x1000
		if want.up {
			flags |= deviceUp
		}
		if want.loopback {
			flags |= deviceLoopback
		}
		for _, payload := range messages(link(newLink, want.index, flags, want.name)) {
			if got, ok := decodeDevice(payload); !ok || got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		}
	}
}

func TestDevicesAreLeftOutByNameOrAlias(t *testing.T) {
	for _, payload := range messages(link(newLink, 5, deviceUp, "old-name", "fairlead")) {
		d, ok := decodeDevice(payload)
		if want := (device{5, "old-name", "fairlead", false, true}); !ok || d != want {
			t.Fatalf("got %+v, want %+v", d, want)
		}
		if !d.among([]string{"fairlead"}) || !d.among([]string{"a", "old-name"}) || d.among([]string{"", "old"}) {
			t.Error("found by the wrong words")
		}
	}
	if (device{name: "eth0"}).among([]string{""}) {
		t.Error("no alias is not an alias")
	}
}

func TestWhatConcernsAWatcher(t *testing.T) {
	const vips = "kube-ipvs0"
	f := filter{except: vips}
	for i, step := range []struct {
		name     string
		event    []byte
		concerns bool
	}{
		{"an address before the device is known", address(newAddr, 5, 0, "10.96.0.1", ""), true},
		{"the device is known by its first event", link(newLink, 5, 0, vips), true},
		{"it comes up", link(newLink, 5, deviceUp, vips), false},
		{"it gets an address", address(newAddr, 5, 0, "10.96.0.1", ""), false},
		{"it loses one", address(deleteAddr, 5, 0, "10.96.0.1", ""), false},
		{"another one gets an address", address(newAddr, 2, 0, "10.0.0.1", ""), true},
		{"another one loses it", address(deleteAddr, 2, 0, "10.0.0.1", ""), true},
		{"another one goes down", link(newLink, 2, 0, "eth0"), true},
		{"another one goes", link(deleteLink, 2, 0, "eth0"), true},
		{"a burst with one that counts", append(append(address(newAddr, 5, 0, "10.96.0.2", ""),
			address(newAddr, 2, 0, "10.0.0.2", "")...), address(newAddr, 5, 0, "10.96.0.3", "")...), true},
		{"something else", sealed(func() *nlbatch.Batch {
			var b nlbatch.Batch
			b.Begin(24, 0, make([]byte, 12)...) // RTM_NEWROUTE
			return &b
		}()), false},
		{"it goes", link(deleteLink, 5, 0, vips), false},
		{"it is made anew", link(newLink, 9, 0, vips), true},
		{"and gets an address", address(newAddr, 9, 0, "10.96.0.1", ""), false},
		{"it gets another name", link(newLink, 9, deviceUp, "other0"), true},
		{"its addresses count now", address(newAddr, 9, 0, "10.96.0.1", ""), true},
		{"another one gets its name", link(newLink, 2, deviceUp, vips), true},
		{"those of that one do not", address(newAddr, 2, 0, "10.96.0.1", ""), false},
		{"nothing", nil, false},
		{"half a message", address(newAddr, 7, 0, "10.0.0.1", "")[:20], false},
	} {
		if got := f.concerns(step.event); got != step.concerns {
			t.Errorf("step %d, %s: %v", i, step.name, got)
		}
	}
}

func TestAnAddressOfTheVIPDeviceCostsNoMemory(t *testing.T) {
	f := filter{except: "kube-ipvs0", index: 5}
	event := address(newAddr, 5, 0, "10.96.0.1", "")
	if allocs := testing.AllocsPerRun(100, func() {
		if f.concerns(event) {
			t.Error("it concerns")
		}
	}); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func FuzzConcerns(f *testing.F) {
	f.Add(link(newLink, 5, 0, "kube-ipvs0"))
	f.Add(address(newAddr, 5, 0, "10.96.0.1", "10.96.0.2"))
	f.Fuzz(func(_ *testing.T, datagram []byte) {
		filter := filter{except: "kube-ipvs0", index: 5}
		filter.concerns(datagram)
		for _, payload := range messages(datagram) {
			decodeAddr(payload)
		}
	})
}
