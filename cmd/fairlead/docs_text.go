package main

// pageIntroduction is the beginning of docs/configuration.md.
const pageIntroduction = `# The configuration

This page is made from the table of keys in the program (` + "`fairlead config docs`" + `); a test keeps it so.
[config.yaml](../config.yaml) is the same as a file.

There is one file of YAML, ` + "`fairlead run --config FILE`" + `. Keys that are left out, or have no value, keep
their default. A key that does not exist, and a value that is not allowed, are errors: all are told at once,
each with the file, the line, the key, the value and what is allowed. ` + "`fairlead config validate FILE`" + ` tells
them before a node depends on the file.

Each key can be set in the environment, too, which wins over the file. Lists are separated by commas there.
Some keys have a flag, which wins over both. Both go on to win when the file changes.

## When the file changes

The file is watched, also where it is a mounted ConfigMap, whose files Kubernetes replaces by switching a
symbolic link. A change takes effect without a restart, and no connection is dropped. The table of keys says
which keys need a restart all the same: a change of these is a line in the log, and what was in force stays in
force until the restart. The other changes of the same file take effect.

A wrong file is refused as a whole, and the last good one stays in force. That is told

* in the log, one line for each mistake, with the key;
* by ` + "`fairlead_config_error{key=\"...\"}`" + `, which is 1 as long as the file is wrong there, and by
  ` + "`fairlead_config_reloads_total{result=\"refused\"}`" + `;
* by an Event ` + "`ConfigurationRefused`" + ` on the Node;
* by a Note of ` + "`fairlead status`" + `.

What a good file asks for can fail, too: ` + "`ipvs.strictARP`" + ` in the DaemonSet's container, for one, where
/proc/sys is read-only. Then all the rest takes effect, the node stays as it was where it failed, and the same
four tell of it with the key: the result is ` + "`incomplete`" + `, the Event ` + "`ConfigurationIncomplete`" + `. It is tried
again when the file changes again, and at the next start, before which the DaemonSet's init container sets what
the daemon may not.

A scheduler that the kernel does not have is such a mistake. A file that has become empty is refused, too: that
is what a file looks like while it is being written. Write a new one beside it, and rename it.

Some things cannot be taken back, for what was there before is not known: a sysctl or a timeout that is no
longer asked for keeps its value. ` + "`ipvs.drainTimeout`" + ` holds for drains that begin after the change.
`

// pageKubeProxy is above the table of kube-proxy's fields.
const pageKubeProxy = `## kube-proxy's own file

` + "`fairlead run --config`" + ` takes kube-proxy's configuration (kind KubeProxyConfiguration, apiVersion
kubeproxy.config.k8s.io/v1alpha1, of Kubernetes 1.37) as it is, such as kubeadm's
` + "`/var/lib/kube-proxy/config.conf`" + `, together with ` + "`--hostname-override`" + `. ` + "`fairlead config convert FILE`" + ` prints
what it means as a file of Fairlead's, and what was dropped and why. One line in the log lists what was dropped
at each start. Fields that kube-proxy does not know are errors, but for those that earlier versions had.

Fields that are empty, null or 0 have kube-proxy's default. Mostly that is Fairlead's, too. Where it is not:

* ` + "`healthzBindAddress`" + ` and ` + "`metricsBindAddress`" + `: empty means the default, not off. With an IPv6
  ` + "`bindAddress`" + ` the defaults are ` + "`[::]:10256` and `[::1]:10249`" + `. An address without a port gets kube-proxy's.
* ` + "`nodePortAddresses`" + `: empty in mode nftables means ` + "`primary`" + `. In mode iptables, which is kube-proxy's default,
  the loopback serves node ports, too, unless ` + "`iptables.localhostNodePorts`" + ` is false: ` + "`[all, localhost]`" + `.
* The periods are those of the section of the mode, or where it has none, those of section ipvs. Where none is
  given, Fairlead's own defaults hold in every mode: a change costs it little, and it need not wait for others.
* ` + "`clientConnection.qps`" + ` below 0 is no limit. Parts of a second in timeouts are cut off, as kube-proxy does.
* ` + "`logging.verbosity`" + ` 4 and more is ` + "`logging.level: debug`" + `.
* ` + "`iptables.masqueradeBit`" + ` 28 and 30 are bits of Fairlead's own marks, which then begin at 0xa0000000.
`
