package takeover

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/fairlead-lb/fairlead/internal/nlbatch"
	"github.com/fairlead-lb/fairlead/masq"
)

// Numbers of the ipset protocol (include/uapi/linux/netfilter/ipset/ip_set.h) and of nftables
// (include/uapi/linux/netfilter/nf_tables.h).
const (
	nfgenmsg       = 4 // size of the header that netfilter puts before the attributes
	ipsetDestroy   = 6<<8 | 3
	ipsetList      = 6<<8 | 7
	ipsetProtocol  = 6
	attrProtocol   = 1
	attrSetName    = 2
	attrData       = 7
	attrADT        = 8
	dataIP         = 1
	dataPort       = 4
	dataProto      = 7
	nftGetTable    = 10<<8 | 1
	nftDeleteTable = 10<<8 | 2
	nftTableName   = 1
	batchBegin     = 0x10
	batchEnd       = 0x11
	nftSubsystem   = 10
	theirTable     = "kube-proxy"
)

// Set implements Kernel.
func (l *Linux) Set(name string) (members []Member, err error) {
	err = nlbatch.Whole(func() error {
		members = nil
		l.batch.Reset()
		l.batch.Begin(ipsetList, 0, unix.AF_UNSPEC, 0, 0, 0)
		l.batch.U8(attrProtocol, ipsetProtocol)
		l.batch.String(attrSetName, name)
		return l.conn.Dump(&l.batch, func(payload []byte) { members = append(members, decodeMembers(payload)...) })
	})
	return members, err
}

func decodeMembers(payload []byte) (members []Member) {
	if len(payload) < nfgenmsg {
		return nil
	}
	for typ, data := range nlbatch.Attributes(nlbatch.Attribute(payload[nfgenmsg:], attrADT)) {
		if typ != attrData {
			continue
		}
		var m Member
		for _, addr := range nlbatch.Attributes(nlbatch.Attribute(data, dataIP)) {
			m.Addr, _ = netip.AddrFromSlice(addr)
		}
		if port := nlbatch.Attribute(data, dataPort); len(port) == 2 {
			m.Port = binary.BigEndian.Uint16(port)
		}
		if protocol := nlbatch.Attribute(data, dataProto); len(protocol) == 1 {
			m.Protocol = protocol[0]
		}
		members = append(members, m)
	}
	return members
}

// DestroySet implements Kernel.
func (l *Linux) DestroySet(name string) error {
	l.batch.Reset()
	l.batch.Begin(ipsetDestroy, 0, unix.AF_UNSPEC, 0, 0, 0)
	l.batch.U8(attrProtocol, ipsetProtocol)
	l.batch.String(attrSetName, name)
	if errs := l.conn.Do(&l.batch); errs != nil && !errors.Is(errs[0], syscall.ENOENT) {
		return errs[0]
	}
	return nil
}

func familyNumber(f masq.Family) byte {
	if f == masq.IPv6 {
		return unix.AF_INET6
	}
	return unix.AF_INET
}

// NFTables implements Kernel. A kernel without nftables has none.
func (l *Linux) NFTables() (families []masq.Family, err error) {
	for _, f := range []masq.Family{masq.IPv4, masq.IPv6} {
		l.batch.Reset()
		l.batch.Begin(nftGetTable, 0, familyNumber(f), 0, 0, 0)
		l.batch.String(nftTableName, theirTable)
		errs := l.conn.Do(&l.batch)
		switch {
		case errs == nil:
			families = append(families, f)
		case !errors.Is(errs[0], syscall.ENOENT) && !errors.Is(errs[0], syscall.EINVAL) && !errors.Is(errs[0], syscall.EOPNOTSUPP):
			return families, errs[0]
		}
	}
	return families, nil
}

// DeleteNFTable implements Kernel. Writes to nftables are transactions, with a frame of their own: nlbatch
// asks for an acknowledgement of the last message, and the end of a frame gives none.
func (l *Linux) DeleteNFTable(f masq.Family) error {
	conn, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return err
	}
	defer unix.Close(conn)
	if err := unix.Bind(conn, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	limit := unix.NsecToTimeval(30e9)
	if err := unix.SetsockoptTimeval(conn, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit); err != nil {
		return err
	}
	if err := unix.Sendto(conn, deletion(f), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	buf := make([]byte, 8192)
	n, _, err := unix.Recvfrom(conn, buf, 0)
	if err != nil {
		return err
	}
	if n < unix.NLMSG_HDRLEN+4 || binary.NativeEndian.Uint16(buf[4:]) != unix.NLMSG_ERROR {
		return errors.New("nftables gave no answer")
	}
	errno := syscall.Errno(-int32(binary.NativeEndian.Uint32(buf[unix.NLMSG_HDRLEN:])))
	if errno != 0 && errno != syscall.ENOENT {
		return errno
	}
	return nil
}

// deletion is the transaction that deletes the table.
func deletion(f masq.Family) []byte {
	var b nlbatch.Batch
	b.Begin(batchBegin, 0, unix.AF_UNSPEC, 0, 0, nftSubsystem)
	b.Begin(nftDeleteTable, nlbatch.FlagAck, familyNumber(f), 0, 0, 0)
	b.String(nftTableName, theirTable)
	b.Begin(batchEnd, 0, unix.AF_UNSPEC, 0, 0, nftSubsystem)
	var out []byte
	for i := range b.Len() {
		message := b.Bytes(i)
		binary.NativeEndian.PutUint32(message, uint32(len(message)))
		binary.NativeEndian.PutUint32(message[8:], uint32(i+1))
		out = append(out, message...)
	}
	return out
}
