"""Storage commitment by the box itself (PS3.4 annex J), on links that hold: SCP towards the modality, SCU towards the destination.

book      what is known: instances that were sent, transactions of ours, requests of the modality; sans-IO
desk      decides what follows, in the forwarder: journal first, then what is said outside
journal   the book on the disk
inbox     how a worker hands a message on, durable before it is answered
messages  the command sets and contexts of N-ACTION and N-EVENT-REPORT
service   what a worker answers on such a context
asking    an association to the destination: N-ACTION, and its report when it comes on the same association
telling   an association to the modality: N-EVENT-REPORT
"""
