package nlbatch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/fairlead-lb/fairlead/internal/kerneltest"
)

// addr appends the request that adds or deletes 10.x.y.z/32 on lo.
func addr(b *Batch, typ, flags uint16, n int) {
	ip := []byte{10, byte(n >> 16), byte(n >> 8), byte(n)}
	const lo = 1
	header := binary.NativeEndian.AppendUint32([]byte{unix.AF_INET, 32, 0, 0}, lo)
	b.Begin(typ, flags, header...)
	b.Data(unix.IFA_LOCAL, ip)
	b.Data(unix.IFA_ADDRESS, ip)
}

func dial(t *testing.T) *Conn {
	t.Helper()
	kerneltest.Namespace(t)
	c, err := Dial(unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// exactly checks that those requests failed that should, with the error that they should.
func exactly(t *testing.T, errs []error, n int, want func(int) error) {
	t.Helper()
	if len(errs) != n {
		t.Fatalf("%d results for %d requests", len(errs), n)
	}
	for i, err := range errs {
		if !errors.Is(err, want(i)) {
			t.Fatalf("request %d: got %v, want %v", i, err, want(i))
		}
	}
}

func TestOfManyRequestsExactlyTheWrongOnesFail(t *testing.T) {
	c := dial(t)
	var b Batch
	const n = 2000
	for i := range n {
		number := i
		if i%7 == 6 {
			number = i - 1 // again
		}
		addr(&b, unix.RTM_NEWADDR, FlagCreate|FlagExcl, number)
	}
	exactly(t, c.Do(&b), n, func(i int) error {
		if i%7 == 6 {
			return syscall.EEXIST
		}
		return nil
	})
	if c.Sent() != n {
		t.Errorf("%d sent", c.Sent())
	}
	if got, want := len(addresses(t, c)), n-n/7; got != want {
		t.Errorf("%d addresses, want %d", got, want)
	}

	b.Reset()
	for i := range n {
		addr(&b, unix.RTM_DELADDR, 0, i)
	}
	exactly(t, c.Do(&b), n, func(i int) error {
		if i%7 == 6 {
			return syscall.EADDRNOTAVAIL
		}
		return nil
	})
	if left := addresses(t, c); len(left) != 0 {
		t.Errorf("%d addresses left", len(left))
	}
}

// addresses dumps 10.0.0.0/8 on lo.
func addresses(t *testing.T, c *Conn) map[string]bool {
	t.Helper()
	var b Batch
	b.Begin(unix.RTM_GETADDR, 0, unix.AF_INET, 0, 0, 0, 0, 0, 0, 0)
	seen := map[string]bool{}
	err := c.Dump(&b, func(payload []byte) {
		if ip := net.IP(Attribute(payload[8:], unix.IFA_LOCAL)); ip[0] == 10 {
			seen[ip.String()] = true
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return seen
}

func TestSuccessAloneIsNil(t *testing.T) {
	c := dial(t)
	var b Batch
	if errs := c.Do(&b); errs != nil {
		t.Errorf("nothing to do: %v", errs)
	}
	for i := range maxRequests + 1 {
		addr(&b, unix.RTM_NEWADDR, FlagCreate|FlagExcl, i)
	}
	if errs := c.Do(&b); errs != nil {
		t.Error("errors without a failure")
	}
}

// TestNoErrorIsLost: a receive buffer of default size holds some 250 error messages.
func TestNoErrorIsLost(t *testing.T) {
	c := dial(t)
	var b Batch
	const n = 4*maxRequests + 3
	for i := range n {
		addr(&b, unix.RTM_DELADDR, 0, i)
	}
	exactly(t, c.Do(&b), n, func(int) error { return syscall.EADDRNOTAVAIL })
}

// TestAnOverrunIsNoSuccess: with too small a buffer answers are lost, and what they would have said
// is not known. The connection goes on afterwards, past the late answers.
func TestAnOverrunIsNoSuccess(t *testing.T) {
	c := dial(t)
	if err := unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 4096); err != nil {
		t.Fatal(err)
	}
	var b Batch
	for i := range maxRequests + 20 {
		addr(&b, unix.RTM_DELADDR, 0, i)
	}
	errs := c.Do(&b)
	if len(errs) != b.Len() {
		t.Fatalf("%d results for %d requests", len(errs), b.Len())
	}
	for i, err := range errs {
		if !errors.Is(err, syscall.ENOBUFS) && !errors.Is(err, syscall.EADDRNOTAVAIL) {
			t.Fatalf("request %d: %v", i, err)
		}
	}
	if last := errs[b.Len()-1]; !errors.Is(last, syscall.ENOBUFS) || !errors.Is(last, ErrUnknown) {
		t.Errorf("the last request was never sent, but: %v", last)
	}
	b.Reset()
	addr(&b, unix.RTM_NEWADDR, FlagCreate|FlagExcl, 1)
	addr(&b, unix.RTM_NEWADDR, FlagCreate|FlagExcl, 1)
	addr(&b, unix.RTM_NEWADDR, FlagCreate|FlagExcl, 2)
	exactly(t, c.Do(&b), 3, func(i int) error {
		if i == 1 {
			return syscall.EEXIST
		}
		return nil
	})
}

func TestALateAnswerIsNotTakenForAnother(t *testing.T) {
	c := dial(t)
	var late, b Batch
	addr(&late, unix.RTM_DELADDR, 0, 1)
	if err := unix.Sendto(c.fd, late.seal(0, 1, 99), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		t.Fatal(err)
	}
	addr(&b, unix.RTM_NEWADDR, FlagCreate|FlagExcl, 1)
	if errs := c.Do(&b); errs != nil {
		t.Error(errs)
	}
	if err := unix.Sendto(c.fd, late.seal(0, 1, 99), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		t.Fatal(err)
	}
	if got := addresses(t, c); len(got) != 0 {
		t.Errorf("the late request was carried out, the dump says %v", got)
	}
}

func TestADumpThatIsRefusedIsAnError(t *testing.T) {
	c := dial(t)
	var b Batch
	b.Begin(unix.RTM_MAX+1, 0, 0, 0, 0, 0)
	if err := c.Dump(&b, func([]byte) { t.Error("visited") }); !errors.Is(err, syscall.EOPNOTSUPP) {
		t.Errorf("got %v", err)
	}
	if got := addresses(t, c); len(got) != 0 {
		t.Errorf("the connection is out of step: %v", got)
	}
}

func TestAConnectionThatIsClosedFailsEverything(t *testing.T) {
	c, err := Dial(unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	c.fd = -1 // the number may be another file's by now
	var b Batch
	addr(&b, unix.RTM_NEWADDR, 0, 1)
	addr(&b, unix.RTM_NEWADDR, 0, 2)
	for i, err := range c.Do(&b) {
		if !errors.Is(err, syscall.EBADF) || !errors.Is(err, ErrUnknown) {
			t.Errorf("request %d: %v", i, err)
		}
	}
	if err := c.Dump(&b, func([]byte) {}); !errors.Is(err, syscall.EBADF) {
		t.Errorf("dump: %v", err)
	}
}

// TestRequestsAreThoseOfTheUsualLibrary compares with what vishvananda/netlink sends.
func TestRequestsAreThoseOfTheUsualLibrary(t *testing.T) {
	ip := net.IPv4(10, 0, 0, 7).To4()
	address := nl.NewNetlinkRequest(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	msg := nl.NewIfAddrmsg(unix.AF_INET)
	msg.Prefixlen, msg.Index = 32, 1
	address.AddData(msg)
	address.AddData(nl.NewRtAttr(unix.IFA_LOCAL, ip))
	address.AddData(nl.NewRtAttr(unix.IFA_ADDRESS, ip))

	nest := nl.NewNetlinkRequest(0x1c, unix.NLM_F_ACK) // a generic netlink request such as moby/ipvs makes
	nest.AddRawData([]byte{1, 1, 0, 0})
	attr := nl.NewRtAttr(1|unix.NLA_F_NESTED, nil)
	attr.AddRtAttr(2, nl.Uint16Attr(6))
	attr.AddRtAttr(6, nl.ZeroTerminated("wrr"))
	attr.AddRtAttr(8, nl.Uint32Attr(10800))
	nest.AddData(attr)

	var b Batch
	addr(&b, unix.RTM_NEWADDR, FlagCreate|FlagExcl, 7)
	b.Begin(0x1c, 0, 1, 1, 0, 0)
	mark := b.Nest(1)
	b.U16(2, 6)
	b.String(6, "wrr")
	b.U32(8, 10800)
	b.Close(mark)
	for i, request := range []*nl.NetlinkRequest{address, nest} {
		want, got := request.Serialize(), b.seal(i, i+1, request.Seq)
		if i == 1 { // AddRawData goes behind the attributes
			want = append(append(want[:headerLen:headerLen], 1, 1, 0, 0), want[headerLen:len(want)-4]...)
		}
		if !bytes.Equal(want, got) {
			t.Errorf("request %d:\n got %x\nwant %x", i, got, want)
		}
	}
}

func TestAnswersThatMakeNoSenseAreErrors(t *testing.T) {
	for name, data := range map[string][]byte{
		"longer than what came":   binary.NativeEndian.AppendUint32(nil, 17),
		"shorter than its header": binary.NativeEndian.AppendUint32(nil, 15),
	} {
		data = append(data, make([]byte, headerLen-4)...)
		if err := walk(data, func(_, _ []byte) (bool, error) { return false, nil }); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := errorOf([]byte{1, 2, 3}); err == nil {
		t.Error("an error message without an error")
	}
	if err := errorOf(make([]byte, 4)); err != nil {
		t.Errorf("an acknowledgement: %v", err)
	}
}

func TestADumpThatFailsOnItsWayIsAnError(t *testing.T) {
	for _, c := range []struct {
		payload []byte
		want    error
	}{
		{nil, nil},
		{binary.NativeEndian.AppendUint32(nil, 0), nil},
		{binary.NativeEndian.AppendUint32(nil, ^uint32(syscall.EMSGSIZE)+1), syscall.EMSGSIZE}, // negative
	} {
		if err := failureOf(c.payload); !errors.Is(err, c.want) {
			t.Errorf("%v: got %v, want %v", c.payload, err, c.want)
		}
	}
}

func FuzzWalk(f *testing.F) {
	f.Add(requests(8, 3).seal(0, 2, 1))
	f.Add(binary.NativeEndian.AppendUint32(nil, 16))
	f.Fuzz(func(t *testing.T, data []byte) {
		total := 0
		_ = walk(data, func(header, payload []byte) (bool, error) {
			total += len(header) + len(payload)
			return false, nil
		})
		if total > len(data) {
			t.Errorf("%d bytes of messages in %d", total, len(data))
		}
	})
}
