/* Instruction sets: what the processor has, what the operating system saves, and what ENTROL_CPU asks for. */
#include "cpu.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>

/* XCR0: which registers the operating system saves; bits 1 and 2 are SSE and AVX, 5 to 7 AVX-512. */
static unsigned saved_registers(void) {
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

static entrol_cpu ask_cpu(void) {
    const unsigned avx2_bits = bit_AVX2, avx512_bits = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
    const unsigned leaf1_bits = bit_OSXSAVE | bit_AVX | bit_FMA | bit_F16C;
    unsigned eax, ebx, ecx, edx;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || (ecx & leaf1_bits) != leaf1_bits)
        return ENTROL_CPU_SCALAR;
    const unsigned saved = saved_registers();
    if ((saved & 0x6) != 0x6 || !__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) || !(ebx & avx2_bits))
        return ENTROL_CPU_SCALAR;
    return (saved & 0xe0) == 0xe0 && (ebx & avx512_bits) == avx512_bits ? ENTROL_CPU_AVX512 : ENTROL_CPU_AVX2;
}
#elif defined(__aarch64__)
static entrol_cpu ask_cpu(void) {
    return ENTROL_CPU_NEON; /* part of every 64-bit Arm processor */
}
#else
static entrol_cpu ask_cpu(void) {
    return ENTROL_CPU_SCALAR;
}
#endif

/* The best level of this machine. Asked once: a virtual machine takes microseconds for each CPUID. */
static entrol_cpu best_cpu(void) {
    static atomic_int remembered = ENTROL_CPU_BEST; /* until asked */
    int best = atomic_load_explicit(&remembered, memory_order_relaxed);
    if (best == ENTROL_CPU_BEST) {
        best = (int)ask_cpu();
        atomic_store_explicit(&remembered, best, memory_order_relaxed);
    }
    return (entrol_cpu)best;
}

static const char *const cpu_names[] = {"best", "scalar", "avx2", "avx512", "neon"};
enum { N_CPU_NAMES = sizeof cpu_names / sizeof *cpu_names };

const char *entrol_cpu_name(entrol_cpu cpu) {
    return (size_t)cpu < N_CPU_NAMES ? cpu_names[cpu] : "unknown";
}

int entrol_cpu_available(entrol_cpu cpu) {
    const entrol_cpu best = best_cpu();
    if (cpu == ENTROL_CPU_BEST || cpu == ENTROL_CPU_SCALAR || cpu == best)
        return 1;
    return cpu == ENTROL_CPU_AVX2 && best == ENTROL_CPU_AVX512;
}

entrol_status ent_cpu_choose(entrol_cpu *chosen, entrol_cpu requested) {
    const char *asked = requested == ENTROL_CPU_BEST ? getenv("ENTROL_CPU") : NULL;
    if ((size_t)requested >= N_CPU_NAMES)
        return ENTROL_ERROR_ARGUMENT;
    if (asked && *asked) {
        size_t cpu = ENTROL_CPU_SCALAR;
        while (cpu < N_CPU_NAMES && strcmp(asked, cpu_names[cpu]) != 0)
            cpu++;
        if (cpu == N_CPU_NAMES)
            return ENTROL_ERROR_ENVIRONMENT;
        requested = (entrol_cpu)cpu;
    }
    *chosen = requested == ENTROL_CPU_BEST ? best_cpu() : requested;
    return entrol_cpu_available(*chosen) ? ENTROL_OK : ENTROL_ERROR_UNSUPPORTED;
}
