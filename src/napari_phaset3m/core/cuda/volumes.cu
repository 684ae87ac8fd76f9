// Constraints on whole volumes (nz, nx, ny); their CPU twins are in reconstruct/constraints,
// atomic.py and tv.py.

// target[i] = sum_k half_kernel[|k|] source[i + k] along the axis of this stride, zero outside.
extern "C" __global__ void convolve_axis(
    const float *source, float *target, const float *half_kernel, i64 radius, i64 length, i64 stride,
    i64 n)
{
    FLAT(i, n)
    {
        i64 at = i / stride % length;
        float total = half_kernel[0] * source[i];
        for (i64 k = 1; k <= radius; ++k)
        {
            float pair = at >= k ? source[i - k * stride] : 0.0f;
            if (at + k < length) pair += source[i + k * stride];
            total += half_kernel[k] * pair;
        }
        target[i] = total;
    }
}

// out = v - weight D^T p, D the forward differences (zero at the far faces) and p `(3, nz, nx, ny)`.
// out may be v.
extern "C" __global__ void tv_primal(
    const float *v, const float *p, float *out, float weight, i64 nz, i64 nx, i64 ny)
{
    i64 n = nz * nx * ny;
    FLAT(i, n)
    {
        i64 y = i % ny, x = i / ny % nx, z = i / (ny * nx);
        float d = 0.0f;
        if (z < nz - 1) d -= p[i];
        if (z > 0) d += p[i - nx * ny];
        if (x < nx - 1) d -= p[n + i];
        if (x > 0) d += p[n + i - ny];
        if (y < ny - 1) d -= p[2 * n + i];
        if (y > 0) d += p[2 * n + i - 1];
        out[i] = v[i] - weight * d;
    }
}

// One accelerated step of the dual from the primal u: r is where it starts, p the last result.
extern "C" __global__ void tv_dual(
    const float *u, float *p, float *r, float step, float beta, i64 nz, i64 nx, i64 ny)
{
    i64 n = nz * nx * ny;
    FLAT(i, n)
    {
        i64 y = i % ny, x = i / ny % nx, z = i / (ny * nx);
        float here = u[i];
        float q0 = r[i] + (z < nz - 1 ? step * (u[i + nx * ny] - here) : 0.0f);
        float q1 = r[n + i] + (x < nx - 1 ? step * (u[i + ny] - here) : 0.0f);
        float q2 = r[2 * n + i] + (y < ny - 1 ? step * (u[i + 1] - here) : 0.0f);
        float shrink = 1.0f / fmaxf(1.0f, sqrtf(q0 * q0 + q1 * q1 + q2 * q2));
        q0 *= shrink;
        q1 *= shrink;
        q2 *= shrink;
        r[i] = q0 + beta * (q0 - p[i]);
        r[n + i] = q1 + beta * (q1 - p[n + i]);
        r[2 * n + i] = q2 + beta * (q2 - p[2 * n + i]);
        p[i] = q0;
        p[n + i] = q1;
        p[2 * n + i] = q2;
    }
}
