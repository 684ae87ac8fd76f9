// Kernels of the GPU path; each has a CPU twin in core/kernels_cpu.py, core/rotation or
// reconstruct/update.py. Every kernel is a grid-stride loop with 64-bit indices, so any
// launch shape is right; a test compiles this very file for the host with one thread.
//
// Volumes are (nz, nx, ny), slices (n_slice, n_batch, nx, ny), waves the same; y is contiguous.
// "Row" kernels give a block one row along y: index arithmetic is paid once per row.

typedef long long i64;

#define FLAT(i, n) \
    for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < (n); i += (i64)gridDim.x * blockDim.x)
#define ROWS(r, n) for (i64 r = blockIdx.x; r < (n); r += gridDim.x)
#define ALONG_Y(y, n) for (i64 y = threadIdx.x; y < (n); y += blockDim.x)

__device__ static inline float2 multiply(float2 a, float2 b)
{
    float2 c;
    c.x = a.x * b.x - a.y * b.y;
    c.y = a.x * b.y + a.y * b.x;
    return c;
}

__device__ static inline float2 conjugate(float2 a)
{
    a.y = -a.y;
    return a;
}

// Keys' cubic weights (a = -1/2) of the samples at -1, 0, 1, 2 for a point at 0 <= t <= 1.
__device__ static inline float cubic_weight(i64 k, float t)
{
    if (k == 0) return ((-0.5f * t + 1.0f) * t - 0.5f) * t;
    if (k == 1) return (1.5f * t - 2.5f) * t * t + 1.0f;
    if (k == 2) return ((-1.5f * t + 2.0f) * t + 0.5f) * t;
    return (0.5f * t - 0.5f) * t * t;
}

__device__ static inline float weight(i64 k, float t, i64 taps)
{
    if (taps == 2) return k ? t : 1.0f - t;
    return cubic_weight(k, t);
}

// Derivatives of the weights by t.
__device__ static inline float weight_slope(i64 k, float t, i64 taps)
{
    if (taps == 2) return k ? 1.0f : -1.0f;
    if (k == 0) return (-1.5f * t + 2.0f) * t - 0.5f;
    if (k == 1) return (4.5f * t - 5.0f) * t;
    if (k == 2) return (-4.5f * t + 4.0f) * t + 0.5f;
    return (1.5f * t - 1.0f) * t;
}

// table[b, z', x'] = (x0, fraction, z0, fraction): where a lab column sits in the volume.
// Computed in double once per tilt and read by project and backproject alike, which
// makes the gather the exact adjoint of the projection, rounding included.
extern "C" __global__ void stencil_table(
    float4 *table, const double *cosine, const double *sine, const i64 *depth,
    i64 n_batch, i64 max_depth, i64 width, i64 nz, i64 nx)
{
    FLAT(i, n_batch * max_depth * width)
    {
        i64 b = i / (max_depth * width), zp = i / width % max_depth, xp = i % width;
        double zc = zp - (depth[b] - 1) / 2.0, xc = xp - (width - 1) / 2.0;
        double x = xc * cosine[b] + zc * sine[b] + (nx - 1) / 2.0;
        double z = zc * cosine[b] - xc * sine[b] + (nz - 1) / 2.0;
        double x0 = floor(x), z0 = floor(z);
        float4 entry;
        entry.x = (float)x0;
        entry.y = (float)(x - x0);
        entry.z = (float)z0;
        entry.w = (float)(z - z0);
        table[i] = entry;
    }
}

// out[s, b, x', y] = sum over the slice's lab voxels of the interpolated volume.
extern "C" __global__ void project(
    const float *volume, const float4 *table, const i64 *edges, float *out, i64 taps,
    i64 n_slice, i64 n_batch, i64 max_depth, i64 nz, i64 nx, i64 ny)
{
    ROWS(r, n_slice * n_batch * nx)
    {
        i64 xp = r % nx, b = r / nx % n_batch, s = r / (nx * n_batch);
        const i64 *edge = edges + b * (n_slice + 1);
        ALONG_Y(y, ny)
        {
            float total = 0.0f;
            for (i64 zp = edge[s]; zp < edge[s + 1]; ++zp)
            {
                float4 e = table[(b * max_depth + zp) * nx + xp];
                i64 x0 = (i64)e.x - (taps / 2 - 1), z0 = (i64)e.z - (taps / 2 - 1);
                for (i64 i = 0; i < taps; ++i)
                {
                    i64 z = z0 + i;
                    if (z < 0 || z >= nz) continue;
                    float wz = weight(i, e.w, taps);
                    for (i64 j = 0; j < taps; ++j)
                    {
                        i64 x = x0 + j;
                        if (x < 0 || x >= nx) continue;
                        total += wz * weight(j, e.y, taps) * volume[(z * nx + x) * ny + y];
                    }
                }
            }
            out[r * ny + y] = total;
        }
    }
}

// Derivative of project by the tilt angle: a sampled point moves by (dx, dz) = (z, -x).
extern "C" __global__ void project_derivative(
    const float *volume, const float4 *table, const i64 *edges, float *out, i64 taps,
    i64 n_slice, i64 n_batch, i64 max_depth, i64 nz, i64 nx, i64 ny)
{
    ROWS(r, n_slice * n_batch * nx)
    {
        i64 xp = r % nx, b = r / nx % n_batch, s = r / (nx * n_batch);
        const i64 *edge = edges + b * (n_slice + 1);
        ALONG_Y(y, ny)
        {
            float total = 0.0f;
            for (i64 zp = edge[s]; zp < edge[s + 1]; ++zp)
            {
                float4 e = table[(b * max_depth + zp) * nx + xp];
                float dx = (e.z - (nz - 1) * 0.5f) + e.w, dz = ((nx - 1) * 0.5f - e.x) - e.y;
                i64 x0 = (i64)e.x - (taps / 2 - 1), z0 = (i64)e.z - (taps / 2 - 1);
                for (i64 i = 0; i < taps; ++i)
                {
                    i64 z = z0 + i;
                    if (z < 0 || z >= nz) continue;
                    float wz = weight(i, e.w, taps), sz = weight_slope(i, e.w, taps);
                    for (i64 j = 0; j < taps; ++j)
                    {
                        i64 x = x0 + j;
                        if (x < 0 || x >= nx) continue;
                        float w = dz * sz * weight(j, e.y, taps) + dx * wz * weight_slope(j, e.y, taps);
                        total += w * volume[(z * nx + x) * ny + y];
                    }
                }
            }
            out[r * ny + y] = total;
        }
    }
}

// gradient[z, x, y] += every lab pixel whose stencil holds the voxel: no atomics, and the
// tilts of a batch are summed in a fixed order, so that runs repeat to the byte.
extern "C" __global__ void backproject(
    const float *slices, const float4 *table, const i64 *slice_of, const double *cosine,
    const double *sine, const i64 *depth, float *gradient, i64 taps,
    i64 n_batch, i64 max_depth, i64 nz, i64 nx, i64 ny)
{
    ROWS(r, nz * nx)
    {
        i64 x = r % nx, z = r / nx;
        float xc = x - (nx - 1) * 0.5f, zc = z - (nz - 1) * 0.5f;
        ALONG_Y(y, ny)
        {
            float total = 0.0f;
            for (i64 b = 0; b < n_batch; ++b)
            {
                float c = (float)cosine[b], s = (float)sine[b];
                float reach = (taps / 2) * (fabsf(c) + fabsf(s)) + 0.01f;
                float px = xc * c - zc * s + (nx - 1) * 0.5f;
                float pz = xc * s + zc * c + (depth[b] - 1) * 0.5f;
                i64 first_x = (i64)ceilf(px - reach), last_x = (i64)floorf(px + reach);
                i64 first_z = (i64)ceilf(pz - reach), last_z = (i64)floorf(pz + reach);
                if (first_x < 0) first_x = 0;
                if (first_z < 0) first_z = 0;
                if (last_x > nx - 1) last_x = nx - 1;
                if (last_z > depth[b] - 1) last_z = depth[b] - 1;
                for (i64 zp = first_z; zp <= last_z; ++zp)
                {
                    const float *slice = slices + (slice_of[b * max_depth + zp] * n_batch + b) * nx * ny;
                    for (i64 xp = first_x; xp <= last_x; ++xp)
                    {
                        float4 e = table[(b * max_depth + zp) * nx + xp];
                        i64 i = z - (i64)e.z + (taps / 2 - 1), j = x - (i64)e.x + (taps / 2 - 1);
                        if (i < 0 || i >= taps || j < 0 || j >= taps) continue;
                        total += weight(i, e.w, taps) * weight(j, e.y, taps) * slice[xp * ny + y];
                    }
                }
            }
            gradient[r * ny + y] += total;
        }
    }
}
