# SPDX-License-Identifier: MIT OR Apache-2.0
"""A plugin for sos: devices, identities and state of fwctl devices.

It goes into sos/report/plugins of Python's packages. It reads only: no
command is sent in a scope that taints the kernel.
"""

from sos.report.plugins import IndependentPlugin, Plugin, PluginOpt


class Fwctl(Plugin, IndependentPlugin):
    """Firmware control devices: inventory, snapshots of their registers,
    capabilities, queries and features, and on request dumps of objects of
    the firmware.
    """

    short_desc = 'Firmware control devices (fwctl)'
    plugin_name = 'fwctl'
    profiles = ('hardware', 'network', 'storage')
    commands = ('fwctl',)
    option_list = [
        PluginOpt('dumps', default=False,
                  desc='also dump objects of the firmware'),
    ]

    def setup(self):
        self.add_copy_spec([
            '/sys/class/fwctl/*/dev',
            '/sys/class/fwctl/*/type',
            '/sys/class/fwctl/*/uevent',
            '/sys/kernel/security/lockdown',
        ])
        self.add_cmd_output([
            'fwctl --version',
            'fwctl list',
            'fwctl list -o json',
        ])
        snapshot = 'fwctl snapshot --all --timeout 60'
        if self.get_option('dumps'):
            snapshot += ' --dumps'
        self.add_cmd_output(snapshot, suggest_filename='fwctl_snapshot.json',
                            timeout=120)
