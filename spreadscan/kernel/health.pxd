# One process's health slot, for the modules that count into it.

from spreadscan.kernel.memory cimport Mapping, health_slot_t


cdef class HealthSlot:
    cdef:
        readonly Mapping mapping
        health_slot_t* slot
