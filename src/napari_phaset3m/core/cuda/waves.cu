// Waves, images, losses and updates. Compiled as one unit after rotation.cu, whose
// macros and complex arithmetic it uses.

// wave = psi * exp(i phase - absorption); absorption may be null.
extern "C" __global__ void transmit(
    const float2 *psi, const float *phase, const float *absorption, float2 *wave, i64 n)
{
    FLAT(i, n)
    {
        float2 t;
        sincosf(phase[i], &t.y, &t.x);
        if (absorption)
        {
            float a = expf(-absorption[i]);
            t.x *= a;
            t.y *= a;
        }
        wave[i] = multiply(psi[i], t);
    }
}

// Gradients by phase and absorption (over them), then chi *= conj(transmission).
extern "C" __global__ void transmit_adjoint(
    float2 *chi, const float2 *wave, float *phase, float *absorption, i64 n)
{
    FLAT(i, n)
    {
        float2 t, c = chi[i], w = wave[i];
        sincosf(-phase[i], &t.y, &t.x);
        phase[i] = w.x * c.y - w.y * c.x;
        if (absorption)
        {
            float a = expf(-absorption[i]);
            absorption[i] = -(w.x * c.x + w.y * c.y);
            t.x *= a;
            t.y *= a;
        }
        chi[i] = multiply(c, t);
    }
}

// spectrum[b] *= mask * px[which[b]] * py[which[b]] (or its conjugate): the Fresnel kernel is
// separable, so every tilt of a batch may have its own distance out of a table of two
// vectors each. mask holds the band limit and 1/N.
extern "C" __global__ void propagate(
    float2 *spectrum, const float2 *px, const float2 *py, const i64 *which, const float *mask,
    i64 adjoint, i64 n_batch, i64 nx, i64 ny)
{
    ROWS(r, n_batch * nx)
    {
        i64 x = r % nx, distance = which[r / nx];
        float2 left = px[distance * nx + x];
        ALONG_Y(y, ny)
        {
            float2 p = multiply(left, py[distance * ny + y]);
            if (adjoint) p = conjugate(p);
            float m = mask[x * ny + y];
            float2 v = multiply(spectrum[r * ny + y], p);
            v.x *= m;
            v.y *= m;
            spectrum[r * ny + y] = v;
        }
    }
}

// out[b, f] = factor * base * ex[b, f] * ey[b, f] * spectrum[b]; n_base is 1 or n_batch * n_image;
// factor `(nx, ny)` may be null.
extern "C" __global__ void apply_transfer(
    const float2 *spectrum, const float2 *base, const float2 *ex, const float2 *ey, float2 *out,
    const float2 *factor, i64 n_base, i64 n_batch, i64 n_image, i64 nx, i64 ny)
{
    ROWS(r, n_batch * nx)
    {
        i64 x = r % nx, b = r / nx;
        ALONG_Y(y, ny)
        {
            float2 value = spectrum[r * ny + y];
            if (factor) value = multiply(value, factor[x * ny + y]);
            for (i64 f = 0; f < n_image; ++f)
            {
                i64 image = b * n_image + f;
                float2 h = base[((n_base > 1 ? image : 0) * nx + x) * ny + y];
                h = multiply(h, multiply(ex[image * nx + x], ey[image * ny + y]));
                out[(image * nx + x) * ny + y] = multiply(value, h);
            }
        }
    }
}

extern "C" __global__ void apply_transfer_adjoint(
    const float2 *spectra, const float2 *base, const float2 *ex, const float2 *ey, float2 *out,
    i64 n_base, i64 n_batch, i64 n_image, i64 nx, i64 ny)
{
    ROWS(r, n_batch * nx)
    {
        i64 x = r % nx, b = r / nx;
        ALONG_Y(y, ny)
        {
            float2 total;
            total.x = total.y = 0.0f;
            for (i64 f = 0; f < n_image; ++f)
            {
                i64 image = b * n_image + f;
                float2 h = base[((n_base > 1 ? image : 0) * nx + x) * ny + y];
                h = multiply(h, multiply(ex[image * nx + x], ey[image * ny + y]));
                float2 v = multiply(spectra[(image * nx + x) * ny + y], conjugate(h));
                total.x += v.x;
                total.y += v.y;
            }
            out[r * ny + y] = total;
        }
    }
}

// intensity[g] = sum_q weights[q] |fields[g, q]|^2; g runs over tilts and foci.
extern "C" __global__ void intensity(
    const float2 *fields, const float *weights, float *out, i64 n_group, i64 n_node, i64 n_pixel)
{
    FLAT(i, n_group * n_pixel)
    {
        i64 g = i / n_pixel, p = i % n_pixel;
        float total = 0.0f;
        for (i64 q = 0; q < n_node; ++q)
        {
            float2 v = fields[(g * n_node + q) * n_pixel + p];
            total += weights[q] * (v.x * v.x + v.y * v.y);
        }
        out[i] = total;
    }
}

// change[g] = sum_q weights[q] Re(conj(fields[g, q]) moved[g, q]) / sqrt(intensity[g]): how the
// amplitude of an image changes when its fields change by moved.
extern "C" __global__ void amplitude_change(
    const float2 *fields, const float2 *moved, const float *weights, const float *intensity,
    float *change, i64 n_group, i64 n_node, i64 n_pixel)
{
    FLAT(i, n_group * n_pixel)
    {
        i64 g = i / n_pixel, p = i % n_pixel;
        float total = 0.0f;
        for (i64 q = 0; q < n_node; ++q)
        {
            i64 at = (g * n_node + q) * n_pixel + p;
            total += weights[q] * (fields[at].x * moved[at].x + fields[at].y * moved[at].y);
        }
        change[i] = total / sqrtf(fmaxf(intensity[i], 1e-12f));
    }
}

// Two real images travel as one complex one through the detector's filter, which is real and
// even in space and in frequency: out[h] = images[2h] + i images[2h + 1] (0 beyond the last).
extern "C" __global__ void pack_pairs(const float *images, float2 *out, i64 n_image, i64 n_pixel)
{
    FLAT(i, (n_image + 1) / 2 * n_pixel)
    {
        i64 h = i / n_pixel, p = i % n_pixel;
        float2 v;
        v.x = images[2 * h * n_pixel + p];
        v.y = 2 * h + 1 < n_image ? images[(2 * h + 1) * n_pixel + p] : 0.0f;
        out[i] = v;
    }
}

extern "C" __global__ void unpack_pairs(const float2 *packed, float *images, i64 n_image, i64 n_pixel)
{
    FLAT(i, (n_image + 1) / 2 * n_pixel)
    {
        i64 h = i / n_pixel, p = i % n_pixel;
        images[2 * h * n_pixel + p] = packed[i].x;
        if (2 * h + 1 < n_image) images[(2 * h + 1) * n_pixel + p] = packed[i].y;
    }
}

// spectra[h] *= filter, the same for all; 1/N is folded in.
extern "C" __global__ void filter_images(float2 *spectra, const float *filter, i64 n_image, i64 n_pixel)
{
    FLAT(i, n_image * n_pixel)
    {
        float m = filter[i % n_pixel];
        spectra[i].x *= m;
        spectra[i].y *= m;
    }
}

// fields[g, q] *= weights[q] * slope[g].
extern "C" __global__ void scale_fields(
    float2 *fields, const float *slope, const float *weights, i64 n_group, i64 n_node, i64 n_pixel)
{
    FLAT(i, n_group * n_node * n_pixel)
    {
        i64 q = i / n_pixel % n_node, g = i / (n_pixel * n_node), p = i % n_pixel;
        float w = weights[q] * slope[g * n_pixel + p];
        fields[i].x *= w;
        fields[i].y *= w;
    }
}

// Loss of each pixel and twice its derivative by intensity; kind 0 amplitude, 1 Poisson,
// 2 intensity, scaled alike near I = 1 (see kernels_cpu). Summed outside, in double.
extern "C" __global__ void loss(
    const float *intensity, const float *amplitude, const float *image_weight,
    const float *pixel_weight, float *value, float *slope, i64 kind, i64 n_group, i64 n_pixel)
{
    FLAT(i, n_group * n_pixel)
    {
        float w = image_weight[i / n_pixel] * pixel_weight[i % n_pixel];
        float a = amplitude[i], d = a * a, predicted = intensity[i];
        if (kind == 0)
        {
            float root = sqrtf(fmaxf(predicted, 1e-12f)), rest = root - a;
            value[i] = 0.5f * w * rest * rest;
            slope[i] = w * rest / root;
        }
        else if (kind == 1)
        {
            float safe = fmaxf(predicted, 1e-4f), term = safe - d;
            if (d > 0.0f) term += d * logf(d / safe);
            value[i] = 0.25f * w * term;
            slope[i] = 0.5f * w * (1.0f - d / safe);
        }
        else
        {
            float rest = predicted - d;
            value[i] = 0.125f * w * rest * rest;
            slope[i] = 0.5f * w * rest;
        }
    }
}

// volume = volume - step * scale * gradient, moved by shrink towards 0, not below low;
// gradient = 0; scale may be null.
extern "C" __global__ void descend(
    float *volume, float *gradient, const float *scale, float step, float low, float shrink, i64 n)
{
    FLAT(i, n)
    {
        float g = gradient[i];
        gradient[i] = 0.0f;
        if (scale) g *= scale[i];
        float v = volume[i] - step * g;
        volume[i] = fmaxf(v - fminf(fmaxf(v, -shrink), shrink), low);
    }
}

// volume, previous = volume + beta (volume - previous), volume.
extern "C" __global__ void extrapolate(float *volume, float *previous, float beta, i64 n)
{
    FLAT(i, n)
    {
        float v = volume[i];
        volume[i] = v + beta * (v - previous[i]);
        previous[i] = v;
    }
}
