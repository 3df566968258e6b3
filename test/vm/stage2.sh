# Second stage, PID 1 in the host's file system: the rest of a node, then the command, then its exit
# status. Uses its own busybox, so that nothing depends on what the host has installed.
set -eu
self=/run/fairlead-vm
export PATH=$self/bin
busybox --install -s $self/bin
cd $self

mkdir -p /dev/pts /dev/shm /run/lock
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
mount -t cgroup2 cgroup2 /sys/fs/cgroup || true
for link in fd:fd stdin:fd/0 stdout:fd/1 stderr:fd/2; do
	ln -sfn "/proc/self/${link#*:}" "/dev/${link%%:*}"
done
hostname -F hostname
ip link set lo up
ip link set eth0 up
ip address add 10.0.2.15/24 dev eth0
ip route add default via 10.0.2.2

# port NAME prints the device of a virtio port; the kernel learns the names a little after the driver
# is loaded.
port() {
	for try in $(seq 100); do
		for p in /sys/class/virtio-ports/*; do
			if [ "$(cat "$p/name" 2>/dev/null)" = "$1" ]; then
				echo "/dev/${p##*/}"
				return
			fi
		done
		sleep 0.05
	done
	return 1
}
stdout=$(port stdout)
stderr=$(port stderr)
exec 9>"$(port control)"

# A port takes only one opener, so that a command could not reopen /dev/stdout: pipes in between.
mkfifo out err
cat <out >"$stdout" 9>&- &
relays=$!
cat <err >"$stderr" 9>&- &
relays="$relays $!"
echo up >&9
# Goes on when the command ends every sleep that it finds.
(while :; do sleep 5 || true; echo alive; done) >&9 &
pulse=$!
status=0
/bin/sh $self/command </dev/null >out 2>err 9>&- || status=$?

# Something the command left running may hold the pipes: do not wait for it for ever.
(sleep 5 && kill $relays) >/dev/null 2>&1 9>&- &
wait $relays || true
kill $pulse || true
sync
umount /results || true
# The mark ends each stream: a port says nothing else about what the host has received.
cat end >"$stdout"
cat end >"$stderr"
echo "exit $status" >&9
sleep 60
poweroff -f
